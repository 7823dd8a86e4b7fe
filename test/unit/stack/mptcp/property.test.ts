/**
 * Whatever the paths, middleboxes and applications do: every byte is delivered once and in order, or the connection is
 * reset; and nothing is left.
 */
import { equalBytes } from "@hybrid-access/core/base/bytes";
import { SeededRandom } from "@hybrid-access/core/base/random";
import type { TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import fc from "fast-check";
import { pattern } from "../tcp/tcp-pair.ts";
import { split, stripWhere } from "./middleboxes.ts";
import { MptcpPair, type MptcpPairOptions, type MptcpSide } from "./mptcp-pair.ts";

/** Runs of each property; STACK_RUNS asks for more. */
const RUNS = Number(process.env.STACK_RUNS ?? 200);

const MIDDLEBOXES = {
  none: (segment: TcpSegment) => [segment],
  stripSyn: stripWhere(({ flags }) => (flags & 2) !== 0),
  stripLate: stripWhere(({ flags }, index) => (flags & 2) === 0 && index > 20),
  stripData: stripWhere(({ flags }) => (flags & 2) === 0),
  splitFirst: split(300, "first"),
  splitSecond: split(300, "second"),
  splitBoth: split(1, "both"),
};

const link = fc.record({
  delayMs: fc.integer({ min: 0, max: 200 }),
  rateBitsPerSecond: fc.constantFrom(1e6, 10e6, 1e9),
  queueBytes: fc.constantFrom(20_000, 200_000),
  loss: fc.constantFrom(0, 0, 0.01, 0.1),
  duplicate: fc.constantFrom(0, 0.05),
  reorder: fc.constantFrom(0, 0.1),
  reorderMs: fc.integer({ min: 0, max: 100 }),
  middlebox: fc
    .constantFrom<keyof typeof MIDDLEBOXES>("none", "none", "none", "none", ...(Object.keys(MIDDLEBOXES) as []))
    .map((name) => MIDDLEBOXES[name]),
});

const settings = {
  checksum: fc.boolean(),
  longDataNumbers: fc.boolean(),
  mostSubflows: fc.constantFrom(1, 2, 8),
};

const tcp = fc.record({
  maximumSegmentBytes: fc.constantFrom(536, 1440),
  receiveBufferBytes: fc.constantFrom(5000, 65_535, 1_000_000),
  sendBufferBytes: fc.constantFrom(5000, 1_000_000),
  timestamps: fc.boolean(),
  selectiveAcknowledgements: fc.boolean(),
  bulkBytes: fc.constantFrom(0, 30_000),
  keepaliveMs: fc.constant(60_000),
});

const options = fc.record({
  seed: fc.nat(1e9),
  paths: fc.array(fc.record({ up: link, down: link }), { minLength: 1, maxLength: 3 }),
  version: fc.constantFrom(0 as const, 1 as const),
  client: fc.record(settings),
  server: fc.record(settings),
  tcp,
});

const application = fc.record({
  bytes: fc.integer({ min: 0, max: 60_000 }),
  readBytes: fc.constantFrom(100, 5000, 100_000),
  abortAfter: fc.option(fc.integer({ min: 0, max: 60_000 }), { freq: 8 }),
});

type Application = typeof application extends fc.Arbitrary<infer Value> ? Value : never;

/** What the path manager does meanwhile. */
const paths = fc.array(
  fc.record({
    atStep: fc.integer({ min: 1, max: 400 }),
    what: fc.constantFrom("join", "close", "backup", "silence", "restore"),
    path: fc.nat(2),
  }),
  { maxLength: 8 },
);

type PathStep = (typeof paths extends fc.Arbitrary<infer Value> ? Value : never)[number];

function drive(
  pair: MptcpPair,
  side: MptcpSide,
  { bytes, readBytes, abortAfter }: Application,
  seed: number,
): () => void {
  const data = pattern(bytes, seed);
  let offset = 0;
  return () => {
    const { connection } = side;
    side.readAll(readBytes);
    if (!side.saw("connected") || connection.closeReason !== undefined) return;
    if (offset < bytes) offset += connection.write(data.subarray(offset), pair.nowMs);
    if (abortAfter !== null && (offset >= abortAfter || offset === bytes)) connection.reset(pair.nowMs);
    else if (offset === bytes) connection.shutdownWrite(pair.nowMs);
  };
}

function act(pair: MptcpPair, { what, path }: PathStep): void {
  const { connection } = pair.client;
  const links = pair.paths[path];
  if (links === undefined) return;
  if (what === "join" && pair.client.saw("connected")) pair.join(path);
  if (what === "close" && connection.subflows.length > 1) connection.closeSubflow(path, pair.nowMs);
  if (what === "backup") connection.setBackup(path, pair.nowMs % 2 < 1, pair.nowMs);
  if (what === "silence" && pair.paths.length > 1) for (const one of [links.up, links.down]) one.configure({ loss: 1 });
  if (what === "restore") for (const one of [links.up, links.down]) one.configure({ delayMs: 5 });
}

function check(from: MptcpSide, to: MptcpSide, sent: Uint8Array): void {
  expect(to.receivedBytes).to.be.at.most(sent.length);
  expect(equalBytes(to.bytes, sent.slice(0, to.receivedBytes)), "bytes").to.equal(true);
  if (to.saw("ended")) expect(to.receivedBytes, "ended").to.equal(sent.length);
  if (to.connection.closeReason === "finished") expect(to.receivedBytes, "finished").to.equal(sent.length);
  expect(from.connection.pollTimeout(), "timer").to.equal(undefined);
  expect(from.connection.parts.session.sender.bufferedBytes).to.equal(0);
  expect(to.connection.parts.session.receiver.outOfOrderBytes).to.equal(0);
  expect(to.connection.subflows.length).to.equal(0);
}

describe("stack/mptcp: any paths, any application", () => {
  it("delivers every byte once and in order, or resets; leaves no timer and no byte behind", function () {
    this.timeout(60_000 + 20 * RUNS);
    fc.assert(
      fc.property(options, application, application, paths, ({ version, client, server, ...made }, up, down, steps) => {
        const sides = { client: { ...client, version }, server: { ...server, version } };
        const pair = new MptcpPair({ ...made, ...sides } as MptcpPairOptions).open();
        const [first, second] = [drive(pair, pair.client, up, 1), drive(pair, pair.server, down, 2)];
        let step = 0;
        pair.onStep = () => {
          step += 1;
          for (const one of steps) if (one.atStep === step) act(pair, one);
          first();
          second();
        };
        const opened = () => pair.server.flows.size > 0;
        const done = () => pair.client.connection.isDone && (pair.server.connection.isDone || !opened());
        expect(pair.run(done, 3_600_000), "ends").to.equal(true);
        pair.client.readAll();
        pair.server.readAll();
        check(pair.client, pair.server, pattern(up.bytes, 1));
        check(pair.server, pair.client, pattern(down.bytes, 2));
      }),
      { numRuns: RUNS },
    );
  });

  it("repeats a run exactly with the same seed", () => {
    const trace = (seed: number) => {
      const random = new SeededRandom(seed);
      const link = { loss: 0.05, delayMs: 10 + random.next() * 10 };
      const pair = new MptcpPair({ seed, paths: [{ up: link, down: link }] }).connect();
      pair.client.connection.write(pattern(50_000), pair.nowMs);
      pair.run(() => pair.server.receivedBytes === 50_000);
      return [pair.nowMs, pair.paths[0]?.up.sent.map(({ sequence }) => sequence)];
    };
    expect(trace(7)).to.deep.equal(trace(7));
    expect(trace(7)).not.to.deep.equal(trace(8));
  });
});
