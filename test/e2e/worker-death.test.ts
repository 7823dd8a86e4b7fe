/** A worker thread of a real daemon dies under load: what is lost with it, what is not, and what comes after it. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { IS_KERNEL_TESTED } from "../lab/engine-under-test.ts";
import { ADDRESS, cableTopology } from "../lab/hybrid.ts";
import { type Exchange, Load } from "../lab/load.ts";
import { type DaemonName, HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { descriptorsOf, pipeEndsOf } from "../lab/process-figures.ts";
import { eventually } from "../support/eventually.ts";
import type { Death } from "../support/mortal-workers.ts";

const PORT = 7000;
const MORTAL_WORKERS = fileURLToPath(new URL("../support/mortal-workers.js", import.meta.url));
/** A client of the gateway may have so many: those of a worker that died must not count for ever. */
const MOST_OPEN = 60;
const CONFIGS: Readonly<Record<DaemonName, string>> = {
  hcpe: HCPE_CONFIG.replace("workers: 1", "workers: 2"),
  hag: `${HAG_CONFIG.replace("workers: 1", "workers: 2")}limits: { open: ${MOST_OPEN} }\n`,
};

/** Clients that have stopped reading, so that every buffer on the way is full; and streams that run meanwhile. */
const STOPPED: readonly Exchange[] = Array(40).fill({ upBytes: 20_000, downBytes: 4_000_000 });
const RUNNING: readonly Exchange[] = Array(8).fill({ upBytes: 20_000_000, downBytes: 20_000_000 });
const CONNECTIONS = STOPPED.length + RUNNING.length;
const SMALL: Exchange = { upBytes: 1000, downBytes: 100_000 };
const LIMIT_MS = 60_000;
const REPLACED_WITHIN_MS = 5000;
/** Of an end that Linux does not tell of, the HCPE hears by asking every 5 s. */
const SWEPT_WITHIN_MS = 15_000;

const RESET = /^(sending: |receiving: )?errno (104|32)$/;

/** Ends of the idle pipes that two workers keep. */
const IDLE_PIPE_ENDS = 2 * 2 * 4;

describe("a worker that dies", function () {
  this.timeout(120_000);
  let pair: Pair;
  let load: Load;
  const pipeEndsAtFirst: Partial<Record<DaemonName, number>> = {};

  before(async () => {
    pair = await Pair.lab(cableTopology());
    for (const name of ["hag", "hcpe"] as const) {
      mkdirSync(pair.file(`${name}-deaths`));
      const environment = [`NODE_OPTIONS=--import=${MORTAL_WORKERS}`, `MORTAL_WORKERS=${pair.file(`${name}-deaths`)}`];
      await pair.start(name, CONFIGS[name], { launcher: ["env", ...environment] });
      pipeEndsAtFirst[name] = pipeEndsOf(pid(name));
    }
  });
  beforeEach(() => {
    load = new Load(pair.lab, ADDRESS.server, PORT);
  });
  afterEach(() => load?.close());
  after(async () => await pair?.down());

  const pid = (name: DaemonName) => pair.daemon(name).process.pid ?? 0;
  const descriptors = (name: DaemonName) => descriptorsOf(pid(name));
  const active = async (name: DaemonName) => (await pair.status(name)).counters.connectionsActive ?? 0;

  function kill(name: DaemonName, worker: number, death: Death): void {
    const order = pair.file(`${name}-deaths/${worker}`);
    // Whole when it appears.
    writeFileSync(`${order}.new`, death);
    renameSync(`${order}.new`, order);
  }

  /** Lines of `ss` in a node. */
  async function sockets(node: string, ...filter: string[]): Promise<string[]> {
    return (await pair.lab.run(node, ["ss", "-Hn", ...filter])).split("\n").filter((line) => line !== "");
  }

  /** Plain connections of a node that go to the server. */
  async function open(node: string): Promise<number> {
    return (await sockets(node, "-t", `sport = :${PORT} or dport = :${PORT}`)).length;
  }

  async function listeners(node: DaemonName): Promise<number> {
    return (await sockets(node, "-lt")).length;
  }

  async function untilIdle(): Promise<void> {
    await eventually(10_000, async () => {
      for (const name of ["hag", "hcpe"] as const) {
        expect((await pair.status(name)).counters).to.include({ connectionsActive: 0, pendingBytes: 0 });
      }
    });
  }

  /** Runs until only stopped connections are left, of which nothing moves any more. */
  async function untilStill(): Promise<void> {
    let moved = -1;
    await load.run(async () => {
      const { connectionsActive, bytesDown = 0 } = (await pair.status("hcpe")).counters;
      const still = connectionsActive === load.clients && bytesDown === moved;
      moved = bytesDown;
      return still;
    }, LIMIT_MS);
  }

  /** What a daemon's log has said of the worker's end, as its last word. */
  function obituary(name: DaemonName): unknown {
    const lines = pair.daemon(name).log().split("\n");
    return JSON.parse(lines.findLast((line) => line.includes("WORKER_DIED")) ?? "null");
  }

  const cases: readonly (readonly [DaemonName, number, Death, string])[] = [
    ["hcpe", 0, "throws", "a defect"],
    ["hag", 0, "throws", "a defect"],
    ["hcpe", 1, "exits", "it exited with 7"],
  ];
  for (const [name, worker, death, reason] of cases) {
    it(`${name}: one that ${death} takes only its own connections with it, and another takes its place`, async () => {
      await load.carry([SMALL], 1, LIMIT_MS);
      await untilIdle();
      const before = { descriptors: descriptors(name), listeners: await listeners(name) };
      const { workersDied } = await pair.status(name);

      load.open(STOPPED, { paused: true });
      await untilStill();
      const { bytesUp = 0 } = (await pair.status("hcpe")).counters;
      load.open(RUNNING);
      await load.run(async () => ((await pair.status("hcpe")).counters.bytesUp ?? 0) > bytesUp, LIMIT_MS);
      kill(name, worker, death);
      await load.run(async () => (await pair.status(name)).workersDied > workersDied, LIMIT_MS);
      expect(obituary(name)).to.nested.include({
        msg: "a worker ended, another takes its place",
        "error.code": "WORKER_DIED",
        "error.message": `worker ${worker} ended: ${reason}`,
      });

      await untilStill();
      const { failures, completed } = load.result;
      const survivors = load.clients;
      expect(failures.length).to.be.within(1, CONNECTIONS - 1);
      expect(failures.filter((failure) => !RESET.test(failure))).to.deep.equal([]);
      expect(completed + failures.length + survivors).to.equal(1 + CONNECTIONS);
      await eventually(SWEPT_WITHIN_MS, async () => {
        expect(await open("lan"), "clients").to.equal(survivors);
        expect(await open("srv"), "servers").to.equal(survivors);
        for (const daemon of ["hcpe", "hag"] as const) {
          expect(await active(daemon), `${daemon} relays`).to.equal(survivors);
          expect(await open(daemon), `${daemon} plain`).to.equal(survivors);
          if (IS_KERNEL_TESTED) expect((await sockets(daemon, "-M")).length, `${daemon} multipath`).to.equal(survivors);
        }
        expect((await pair.status("hcpe")).paths.connections, "known to the path manager").to.equal(survivors);
      });

      await eventually(REPLACED_WITHIN_MS, async () => {
        expect(await pair.status(name)).to.include({ workersListening: 2, workersDied: workersDied + 1 });
        expect(await listeners(name)).to.equal(before.listeners);
      });
      load.open(Array(MOST_OPEN - survivors).fill(SMALL), { paused: true });
      await load.run(async () => (await active("hag")) === MOST_OPEN, LIMIT_MS);
      load.resume();
      await load.run(() => load.ends === 0, LIMIT_MS);
      expect(load.result.completed).to.equal(completed + MOST_OPEN);
      expect(load.result.failures).to.deep.equal(failures);

      await untilIdle();
      await eventually(REPLACED_WITHIN_MS, () => expect(descriptors(name)).to.equal(before.descriptors));
      expect(pipeEndsOf(pid(name)) - (pipeEndsAtFirst[name] ?? 0)).to.be.at.most(IDLE_PIPE_ENDS);
      for (const node of ["lan", "hcpe", "hag", "srv"]) {
        expect(await sockets(node, "-t", "state", "close-wait"), node).to.deep.equal([]);
      }
    });
  }
});
