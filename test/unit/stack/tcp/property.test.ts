/**
 * Whatever the path and the applications do: every byte is delivered once and in order, or the connection is reset; and
 * then nothing is left.
 */
import { equalBytes } from "@hybrid-access/core/base/bytes";
import { CONGESTION_ALGORITHMS } from "@hybrid-access/core/policy/congestion/algorithms";
import { expect } from "chai";
import fc from "fast-check";
import { pattern, type Side, TcpPair, type TcpPairOptions } from "./tcp-pair.ts";

/** Runs of each property; STACK_RUNS asks for more. */
const RUNS = Number(process.env.STACK_RUNS ?? 200);

const link = fc.record({
  delayMs: fc.integer({ min: 0, max: 300 }),
  rateBitsPerSecond: fc.constantFrom(1e6, 10e6, 1e9),
  queueBytes: fc.constantFrom(20_000, 200_000),
  loss: fc.constantFrom(0, 0, 0.01, 0.1, 0.25),
  duplicate: fc.constantFrom(0, 0.05),
  reorder: fc.constantFrom(0, 0.1),
  reorderMs: fc.integer({ min: 0, max: 100 }),
  largestBytes: fc.constantFrom(9000, 9000, 700),
});

const settings = fc.record({
  maximumSegmentBytes: fc.constantFrom(536, 1440, 8960),
  receiveBufferBytes: fc.constantFrom(3000, 65_535, 1_000_000),
  sendBufferBytes: fc.constantFrom(3000, 1_000_000),
  timestamps: fc.boolean(),
  selectiveAcknowledgements: fc.boolean(),
  bulkBytes: fc.constantFrom(0, 65_000),
  // A reset that is lost on an idle connection is found out by nothing else.
  keepaliveMs: fc.constant(60_000),
  congestion: fc.constantFrom(...CONGESTION_ALGORITHMS),
});

/** What one application does: writes, reads with pauses, and ends or aborts. */
const application = fc.record({
  bytes: fc.integer({ min: 0, max: 60_000 }),
  readBytes: fc.constantFrom(100, 5000, 100_000),
  abortAfter: fc.option(fc.integer({ min: 0, max: 60_000 }), { freq: 8 }),
});

type Application = typeof application extends fc.Arbitrary<infer Value> ? Value : never;

function drive(side: Side, { bytes, readBytes, abortAfter }: Application, seed: number): () => void {
  const data = pattern(bytes, seed);
  let offset = 0;
  return () => {
    const { connection } = side;
    side.readAll(readBytes);
    if (connection.state === "closed" || connection.state === "synSent") return;
    if (offset < bytes) offset += connection.write(data.subarray(offset));
    if (abortAfter !== null && (offset >= abortAfter || offset === bytes)) connection.reset();
    else if (offset === bytes) connection.shutdownWrite();
  };
}

function check(pair: TcpPair, from: Side, to: Side, sent: Uint8Array): void {
  expect(to.receivedBytes).to.be.at.most(sent.length);
  expect(equalBytes(to.bytes, sent.slice(0, to.receivedBytes))).to.equal(true);
  if (to.events.includes("ended")) expect(to.receivedBytes).to.equal(sent.length);
  const { closeReason } = to.connection;
  if (closeReason === "finished") expect(to.receivedBytes).to.equal(sent.length);
  expect(from.connection.memory.unacknowledgedBytes).to.equal(0);
  expect(to.connection.memory.outOfOrderBytes).to.equal(0);
  expect(from.connection.pollTimeout(), `${pair.nowMs}`).to.equal(undefined);
}

describe("stack/tcp: any path, any application", () => {
  it("delivers every byte once and in order, or resets; leaves no timer and no byte behind", function () {
    this.timeout(60_000 + 20 * RUNS);
    const options = fc.record({ seed: fc.nat(1e9), link, linkBack: link, client: settings, server: settings });
    fc.assert(
      fc.property(options, application, application, (made, up, down) => {
        const pair = new TcpPair(made as TcpPairOptions).open();
        const [client, server] = [drive(pair.client, up, 1), drive(pair.server, down, 2)];
        pair.onStep = () => {
          client();
          server();
        };
        const done = () =>
          pair.client.connection.isDone && (pair.server.connection.isDone || pair.server.connection.state === "closed");
        expect(pair.run(done, 3_600_000), "ends").to.equal(true);
        pair.client.readAll();
        pair.server.readAll();
        check(pair, pair.client, pair.server, pattern(up.bytes, 1));
        check(pair, pair.server, pair.client, pattern(down.bytes, 2));
      }),
      { numRuns: RUNS },
    );
  });
});
