import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { ADDRESS } from "../lab/hybrid.ts";
import { Pair } from "../lab/pair.ts";
import { connectFrom, pattern, type Received, receive, StreamServer } from "../lab/stream.ts";
import { until } from "../lab/until.ts";
import type { UplinkName } from "../lab/uplinks.ts";

const PORT = 7000;
const STEP_LIMIT_MS = 15_000;
/** Enough to say that payload flows. */
const ENOUGH_BYTES = 300_000;

/** Sends without end, at the receiver's pace, until told to stop; then ends its stream and tells what it has sent. */
function sendUntil(socket: Socket, seed: number, stop: AbortSignal): Promise<Pick<Received, "bytes" | "hash">> {
  const chunk = pattern(50_000, seed);
  const hash = createHash("sha256");
  let bytes = 0;
  return new Promise((resolve) => {
    const send = () => {
      while (!stop.aborted) {
        bytes += chunk.length;
        hash.update(chunk);
        if (!socket.write(chunk)) return socket.once("drain", send);
      }
      socket.end();
      resolve({ bytes, hash: hash.digest("hex") });
    };
    send();
  });
}

describe("an uplink taken away in the middle of a transfer, and given back", function () {
  this.timeout(90_000);
  let pair: Pair;
  let server: StreamServer;

  before(async () => {
    pair = await Pair.up();
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  const setLink = (name: UplinkName, state: "up" | "down") => pair.lab.run("hcpe", ["ip", "link", "set", name, state]);

  const payloadOver = async (name: UplinkName) => {
    const { forward, backward } = (await pair.lab.linkCounters())[name] ?? {};
    return (forward?.deliveredBytes ?? 0) + (backward?.deliveredBytes ?? 0);
  };

  async function expectGrowth(what: string, measure: () => number | Promise<number>): Promise<void> {
    const before = await measure();
    await until(async () => (await measure()) - before > ENOUGH_BYTES, { what, limitMs: STEP_LIMIT_MS });
  }

  for (const [family, host] of [
    ["IPv4", ADDRESS.server],
    ["IPv6", ADDRESS.server6],
  ] as const) {
    it(`${family}: dsl, then lte: both streams arrive whole, in order, and end cleanly`, async () => {
      const near = connectFrom(pair.lab, "lan", host, PORT);
      await once(near, "connect");
      const far = await server.accept();
      const stop = new AbortController();
      const sent = [sendUntil(near, 1, stop.signal), sendUntil(far, 2, stop.signal)];
      const received = [receive(far), receive(near)];
      far.resume();
      for (const uplink of ["dsl", "lte"] as const) {
        await expectGrowth("payload over dsl", () => payloadOver("dsl"));
        await expectGrowth("payload over lte", () => payloadOver("lte"));
        await setLink(uplink, "down");
        await expectGrowth(`bytes at the server without ${uplink}`, () => far.bytesRead);
        await expectGrowth(`bytes at the client without ${uplink}`, () => near.bytesRead);
        await setLink(uplink, "up");
        await expectGrowth(`payload over ${uplink} again`, () => payloadOver(uplink));
      }
      stop.abort();
      for (const [index, stream] of sent.entries()) {
        expect(await received[index]).to.deep.equal({ ...(await stream), end: "end" });
      }
    });
  }

  it("no connection went another way than through the gateway", async () => {
    const { counters } = await pair.status("hcpe");
    expect(counters).to.include({ connectionsDirect: 0, connectionsReset: 0, connectionsMultipath: 2 });
  });
});
