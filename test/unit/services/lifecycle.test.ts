import { type Daemon, runDaemon } from "@hybrid-access/core/services/lifecycle";
import { createLogger } from "@hybrid-access/core/services/log";
import { expect } from "chai";
import { eventually } from "../../support/eventually.ts";

const LONG_MS = 60_000;

/** A daemon that writes down what is asked of it. */
class FakeDaemon implements Daemon {
  readonly calls: string[] = [];
  startFailure: Error | undefined;
  reloadFailure: Error | undefined;
  stopFailure: Error | undefined;
  /** Resolves when nothing is left; never, unless a test says so. */
  drained: Promise<void> = new Promise(() => {});

  async start(): Promise<void> {
    this.calls.push("start");
    if (this.startFailure !== undefined) throw this.startFailure;
  }

  async reload(): Promise<void> {
    this.calls.push("reload");
    if (this.reloadFailure !== undefined) throw this.reloadFailure;
  }

  async drain(): Promise<void> {
    this.calls.push("drain");
    await this.drained;
  }

  async stop(): Promise<void> {
    this.calls.push("stop");
    if (this.stopFailure !== undefined) throw this.stopFailure;
  }
}

describe("services/lifecycle", () => {
  const log = createLogger("test", "silent");
  let daemon: FakeDaemon;

  beforeEach(() => {
    daemon = new FakeDaemon();
  });

  async function called(...calls: string[]): Promise<void> {
    await eventually(1000, () => expect(daemon.calls).to.deep.equal(calls));
  }

  it("serves until SIGTERM, drains until nothing is left, and stops", async () => {
    daemon.drained = Promise.resolve();
    const running = runDaemon(daemon, log, LONG_MS);
    await called("start");
    process.emit("SIGTERM");
    await running;
    expect(daemon.calls).to.deep.equal(["start", "drain", "stop"]);
  });

  it("drains no longer than it may", async () => {
    const running = runDaemon(daemon, log, 1);
    process.emit("SIGINT");
    await running;
    expect(daemon.calls).to.deep.equal(["start", "drain", "stop"]);
  });

  it("ends the drain at a second signal, and not at SIGHUP", async () => {
    const running = runDaemon(daemon, log, LONG_MS);
    process.emit("SIGTERM");
    await called("start", "drain");
    process.emit("SIGHUP");
    process.emit("SIGINT");
    await running;
    expect(daemon.calls).to.deep.equal(["start", "drain", "stop"]);
  });

  it("reloads at every SIGHUP, and goes on when one is refused", async () => {
    daemon.drained = Promise.resolve();
    const running = runDaemon(daemon, log, LONG_MS);
    process.emit("SIGHUP");
    await called("start", "reload");
    daemon.reloadFailure = new Error("a wrong configuration");
    process.emit("SIGHUP");
    await called("start", "reload", "reload");
    process.emit("SIGTERM");
    await running;
    expect(daemon.calls.slice(-2)).to.deep.equal(["drain", "stop"]);
  });

  it("stops what it could not start, and tells why", async () => {
    daemon.startFailure = new Error("no port");
    let told: unknown;
    await runDaemon(daemon, log, LONG_MS).catch((error: unknown) => {
      told = error;
    });
    expect(told).to.equal(daemon.startFailure);
    expect(daemon.calls).to.deep.equal(["start", "stop"]);
  });

  const count = () => ["SIGHUP", "SIGTERM", "SIGINT"].map((signal) => process.listenerCount(signal));

  it("leaves no signal handlers behind", async () => {
    const before = count();
    daemon.drained = Promise.resolve();
    const running = runDaemon(daemon, log, LONG_MS);
    expect(count()).to.deep.equal(before.map((listeners) => listeners + 1));
    process.emit("SIGTERM");
    await running;
    expect(count()).to.deep.equal(before);
  });

  /** What runDaemon rejects with. It has let go of the signals then, so that the next one ends the process. */
  async function failureOf(running: () => Promise<void>): Promise<unknown> {
    const before = count();
    const failure = await running().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(count()).to.deep.equal(before);
    return failure;
  }

  it("ends though the stop fails, and tells why", async () => {
    daemon.drained = Promise.resolve();
    daemon.stopFailure = new Error("may not be removed");
    const failure = await failureOf(async () => {
      const running = runDaemon(daemon, log, LONG_MS);
      process.emit("SIGTERM");
      await running;
    });
    expect(failure).to.equal(daemon.stopFailure);
  });

  it("ends though neither start nor stop works, and tells why it did not start", async () => {
    daemon.startFailure = new Error("no port");
    daemon.stopFailure = new Error("may not be removed");
    expect(await failureOf(() => runDaemon(daemon, log, LONG_MS))).to.equal(daemon.startFailure);
    expect(daemon.calls).to.deep.equal(["start", "stop"]);
  });

  it("ends though the drain fails", async () => {
    daemon.drained = Promise.reject(new Error("the registry is away"));
    const failure = await failureOf(async () => {
      const running = runDaemon(daemon, log, LONG_MS);
      process.emit("SIGTERM");
      await running;
    });
    expect(failure).to.have.property("message", "the registry is away");
    expect(daemon.calls).to.deep.equal(["start", "drain", "stop"]);
  });
});
