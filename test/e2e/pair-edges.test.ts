import { once } from "node:events";
import { expect } from "chai";
import { ADDRESS, hybridTopology } from "../lab/hybrid.ts";
import { Pair } from "../lab/pair.ts";
import { connectFrom, receive, StreamServer } from "../lab/stream.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const CHURN_PORT = 7001;

/** Links that add nothing: what is counted and timed here does not depend on rates. */
const CABLES = hybridTopology({ dsl: { down: {}, up: {} }, lte: { down: {}, up: {} } });

describe("the pair at the edges of a connection's life", function () {
  this.timeout(60_000);
  let pair: Pair;
  let server: StreamServer;

  before(async () => {
    pair = await Pair.up({ topology: CABLES });
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  async function idle(): Promise<void> {
    for (const daemon of ["hag", "hcpe"] as const) {
      await eventually(5000, async () => expect((await pair.status(daemon)).counters.connectionsActive).to.equal(0));
    }
  }

  for (const [family, host] of [
    ["IPv4", ADDRESS.server],
    ["IPv6", ADDRESS.server6],
  ] as const) {
    it(`${family}: a server that accepts and resets at once is a reset for the client, and is asked once`, async () => {
      const rounds = 100;
      const before = server.connections;
      for (let round = 0; round < rounds; round++) {
        const near = connectFrom(pair.lab, "lan", host, PORT);
        const outcome = receive(near);
        near.write("request");
        (await server.accept()).resetAndDestroy();
        expect((await outcome).end).to.equal("ECONNRESET");
      }
      await idle();
      expect(server.connections - before).to.equal(rounds);
      expect((await pair.status("hcpe")).counters).to.include({ connectionsDirect: 0, gatewayFailures: 0 });
    });
  }

  it("10,000 rounds of one byte each way: no round waits for a delayed acknowledgement", async () => {
    const near = connectFrom(pair.lab, "lan", ADDRESS.server, PORT).setNoDelay(true);
    const far = (await server.accept()).setNoDelay(true);
    far.on("data", (byte) => far.write(byte));
    far.resume();
    near.resume();
    const times: number[] = [];
    for (let round = 0; round < 10_000; round++) {
      const startMs = performance.now();
      near.write("x");
      await once(near, "data");
      times.push(performance.now() - startMs);
    }
    times.sort((left, right) => left - right);
    const p99 = times[9900] ?? Number.NaN;
    console.log(
      `      p50 ${times[5000]?.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, most ${times[9999]?.toFixed(2)} ms`,
    );
    expect(p99).to.be.lessThan(10);
    expect(times.filter((time) => time >= 40).length).to.be.lessThan(10);
    near.destroy();
    far.destroy();
    await idle();
  });

  /** TIME-WAIT sockets in the HAG's namespace, by the side of the gateway they are on. */
  async function timeWaits(): Promise<{ toServer: number; toHome: number }> {
    const listing = await pair.lab.run("hag", ["ss", "-Htan", "state", "time-wait"]);
    const lines = listing.split("\n");
    return {
      toServer: lines.filter((line) => line.trimEnd().endsWith(`:${CHURN_PORT}`)).length,
      toHome: lines.filter((line) => line.includes(":5124 ")).length,
    };
  }

  it("2,000 short connections that the server ends first leave no port of the HAG in TIME-WAIT", async () => {
    const churn = new StreamServer(pair.lab, "srv", CHURN_PORT);
    const before = await timeWaits();
    const visit = async () => {
      const near = connectFrom(pair.lab, "lan", ADDRESS.server, CHURN_PORT);
      near.write("request");
      const received = receive(near);
      near.once("end", () => near.end());
      const far = await churn.accept();
      far.once("data", () => far.end("answer"));
      far.resume();
      expect(await received).to.include({ bytes: 6, end: "end" });
    };
    for (let done = 0; done < 2000; done += 50) await Promise.all(Array.from({ length: 50 }, visit));
    await idle();
    const after = await timeWaits();
    console.log(
      `      TIME-WAIT at the HAG: ${after.toServer} toward the server, ${after.toHome - before.toHome} toward the home`,
    );
    expect(after.toServer).to.be.at.most(20);
    await churn.close();
  });
});
