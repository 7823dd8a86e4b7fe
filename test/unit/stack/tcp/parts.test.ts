/** Parts of a connection by themselves. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { CookieCache, FastOpenCookies, MOST_COOKIES, SECRET_LIFE_MS } from "@hybrid-access/core/stack/tcp/fast-open";
import { InitialNumbers } from "@hybrid-access/core/stack/tcp/initial-numbers";
import { CHUNK_OVERHEAD_BYTES, MOST_RUNS, Reassembly } from "@hybrid-access/core/stack/tcp/reassembly";
import { RoundTrip } from "@hybrid-access/core/stack/tcp/round-trip";
import { MOST_RANGES, SentQueue } from "@hybrid-access/core/stack/tcp/sent-queue";
import {
  COOKIE_PERIOD_MS,
  hideInTimestamp,
  readFromTimestamp,
  SynCookies,
} from "@hybrid-access/core/stack/tcp/syn-cookie";
import { Timestamps } from "@hybrid-access/core/stack/tcp/timestamps";
import { expect } from "chai";
import fc from "fast-check";
import { seededPorts } from "../host-pair.ts";
import { pattern } from "./tcp-pair.ts";

const local = { address: ipAddress("192.0.2.1"), port: 443 };
const remote = { address: ipAddress("198.51.100.7"), port: 50_000 };

describe("stack/tcp: parts", () => {
  describe("reassembly", () => {
    it("gives every byte once and in order, whatever comes how often in which order", () => {
      fc.assert(
        fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
          const stream = pattern(400);
          const reassembly = new Reassembly();
          const taken: number[] = [];
          for (const { position, length } of pieces) {
            if (position > taken.length) reassembly.insert(position, stream.subarray(position, position + length), 1e6);
            else {
              // What is in order goes past it, as in the receiver.
              for (let at = taken.length; at < position + length; at++) taken.push(stream[at] ?? 0);
            }
            for (const chunk of reassembly.take(taken.length)) taken.push(...chunk);
          }
          expect(taken).to.deep.equal(Array.from(stream.subarray(0, taken.length)));
          const kept = reassembly.runs.reduce((sum, { start, end }) => sum + end - start, 0);
          expect(reassembly.bytes).to.equal(kept);
        }),
      );
    });

    it("keeps the first copy where two differ", () => {
      const reassembly = new Reassembly();
      reassembly.insert(10, Uint8Array.of(1, 1), 1000);
      reassembly.insert(9, Uint8Array.of(2, 2, 2, 2), 1000);
      expect(reassembly.take(9).flatMap((chunk) => Array.from(chunk))).to.deep.equal([2, 1, 1, 2]);
    });

    it("has no more runs and no more memory than allowed", () => {
      const reassembly = new Reassembly();
      for (let count = 0; count < 1000; count++) reassembly.insert(2 * count + 1, Uint8Array.of(1), 1e6);
      expect(reassembly.runs.length).to.equal(MOST_RUNS);
      expect(reassembly.insert(5000, Uint8Array.of(1), 1e6)).to.equal("refused");
      expect(reassembly.insert(2, Uint8Array.of(1), reassembly.memoryBytes + CHUNK_OVERHEAD_BYTES)).to.equal("refused");
      expect(reassembly.insert(1, Uint8Array.of(1), 0)).to.equal("duplicate");
    });

    it("says what arrived last first (RFC 2018 section 4)", () => {
      const reassembly = new Reassembly();
      for (const position of [10, 30, 20]) reassembly.insert(position, new Uint8Array(5), 1e6);
      expect(reassembly.blocks(2)).to.deep.equal([
        { start: 20, end: 25 },
        { start: 30, end: 35 },
      ]);
    });
  });

  it("the scoreboard's sums are those of its ranges, whatever is acknowledged, lost and repeated", () => {
    const step = fc.record({
      do: fc.constantFrom("push", "acknowledge", "deliver", "lose", "repeat"),
      at: fc.nat(20_000),
      length: fc.integer({ min: 1, max: 3000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const queue = new SentQueue();
        let end = 1;
        for (const { do: what, at, length } of steps) {
          if (what === "push") {
            queue.push(end, end + length, at);
            end += length;
          }
          if (what === "acknowledge") queue.acknowledge(Math.min(at, end));
          if (what === "deliver") queue.markDelivered([{ start: at, end: Math.min(end, at + length) }]);
          if (what === "lose" && queue.first !== undefined && !queue.first.delivered && !queue.first.lost) {
            queue.markLost(queue.first);
          }
          const lost = what === "repeat" ? queue.firstLost(length) : undefined;
          if (lost !== undefined) queue.markRepeated(lost, at);
          const sums = { flight: 0, delivered: 0, lost: 0 };
          let next = queue.first?.start;
          for (const range of queue) {
            expect(range.start).to.equal(next);
            next = range.end;
            sums[range.delivered ? "delivered" : range.lost ? "lost" : "flight"] += range.end - range.start;
          }
          expect(sums).to.deep.equal({
            flight: queue.inFlightBytes,
            delivered: queue.deliveredBytes,
            lost: queue.lostBytes,
          });
        }
      }),
    );
  });

  it("the scoreboard is not split without end by a peer that acknowledges byte by byte", () => {
    const queue = new SentQueue();
    queue.push(1, 100_001, 0);
    for (let at = 2; at < 100_000; at += 2) queue.markDelivered([{ start: at, end: at + 1 }]);
    expect(queue.count).to.be.within(MOST_RANGES, MOST_RANGES + 1);
    expect(queue.acknowledge(100_001).at(-1)?.end).to.equal(100_001);
    expect(queue.isEmpty).to.equal(true);
  });

  const piece = fc.record({ position: fc.nat(300), length: fc.integer({ min: 1, max: 60 }) });

  it("a path whose SYN was lost counts as alive once that is answered, with a timeout of 3 s (RFC 6298 section 5.7)", () => {
    const roundTrip = new RoundTrip();
    roundTrip.backOff();
    roundTrip.backOff();
    roundTrip.onLostSyn();
    expect(roundTrip.backOffs).to.equal(0);
    expect(roundTrip.timeoutMs).to.equal(3000);
  });

  it("the timeout follows RFC 6298, is never below 200 ms, and doubles up to a minute", () => {
    const roundTrip = new RoundTrip();
    expect(roundTrip.timeoutMs).to.equal(1000);
    roundTrip.onMeasured(100, 0);
    expect([roundTrip.smoothedMs, roundTrip.variationMs, roundTrip.timeoutMs]).to.deep.equal([100, 50, 300]);
    roundTrip.onMeasured(200, 100);
    expect([roundTrip.smoothedMs, roundTrip.variationMs]).to.deep.equal([112.5, 62.5]);
    for (let count = 0; count < 200; count++) roundTrip.onMeasured(10, count);
    expect(roundTrip.timeoutMs).to.equal(200);
    for (let count = 0; count < 20; count++) roundTrip.backOff();
    expect(roundTrip.timeoutMs).to.equal(60_000);
    roundTrip.onProgress();
    expect(roundTrip.timeoutMs).to.equal(200);
  });

  it("timestamps tell old segments, across the end of their range, and forget after 24 days", () => {
    const timestamps = new Timestamps(0xffff_ff00);
    expect(timestamps.value(0x100)).to.equal(0);
    timestamps.update(0xffff_fff0, 0);
    expect(timestamps.isOld(0xffff_ffef, 1)).to.equal(true);
    expect(timestamps.isOld(5, 1)).to.equal(false);
    expect(timestamps.isOld(0xffff_ffef, 25 * 24 * 3600 * 1000)).to.equal(false);
    expect(timestamps.sentMs(timestamps.value(1234), 5000)).to.equal(1234);
  });

  it("sequence numbers grow by 250 in a millisecond, and are others for each pair of ends (RFC 6528)", () => {
    const numbers = new InitialNumbers(seededPorts(1));
    const first = numbers.sequence(local, remote, 1000);
    expect((numbers.sequence(local, remote, 1001) - first) >>> 0).to.equal(250);
    expect(numbers.sequence(local, { ...remote, port: 50_001 }, 1000)).not.to.equal(first);
    expect(new InitialNumbers(seededPorts(2)).sequence(local, remote, 1000)).not.to.equal(first);
    const offset = numbers.timestampOffset(local, remote);
    expect(numbers.timestampOffset({ ...local, port: 1 }, { ...remote, port: 2 })).to.equal(offset);
  });

  describe("SYN cookies", () => {
    it("are known again for one to two minutes, with the segment size, and by their makers only", () => {
      const cookies = new SynCookies(seededPorts(1));
      const made = cookies.make(local, remote, 777, 1400, 5000);
      expect(cookies.check(local, remote, 777, made, 5000 + COOKIE_PERIOD_MS)).to.equal(1400);
      expect(cookies.check(local, remote, 777, made, 5000 + 2 * COOKIE_PERIOD_MS)).to.equal(undefined);
      expect(cookies.check(local, remote, 778, made, 5000)).to.equal(undefined);
      expect(cookies.check(local, { ...remote, port: 1 }, 777, made, 5000)).to.equal(undefined);
      expect(new SynCookies(seededPorts(2)).check(local, remote, 777, made, 5000)).to.equal(undefined);
    });

    it("hide what there is no room for in a timestamp that is not ahead", () => {
      fc.assert(
        fc.property(
          fc.nat(0xffff_ffff),
          fc.boolean(),
          fc.option(fc.nat(14), { nil: undefined }),
          (value, selective, windowShift) => {
            const syn = {
              maximumSegmentBytes: 1440,
              windowShift,
              selective,
              timestamps: undefined,
              fastOpenCookie: undefined,
            };
            const hidden = hideInTimestamp(value, syn);
            expect(readFromTimestamp(hidden)).to.deep.equal({ selective, windowShift });
            expect((value - hidden) >>> 0).to.be.below(128);
          },
        ),
      );
    });
  });

  describe("Fast Open cookies", () => {
    it("are bound to an address, and good for one to two hours", () => {
      const cookies = new FastOpenCookies(seededPorts(1), 0);
      const cookie = cookies.make(remote.address, 0);
      expect(cookies.isGood(remote.address, cookie, SECRET_LIFE_MS)).to.equal(true);
      expect(cookies.isGood(local.address, cookie, SECRET_LIFE_MS)).to.equal(false);
      expect(cookies.isGood(remote.address, cookie, 2 * SECRET_LIFE_MS)).to.equal(false);
    });

    it("are remembered of so many servers", () => {
      const cache = new CookieCache();
      for (let port = 1; port <= MOST_COOKIES + 1; port++) cache.put({ ...remote, port }, Uint8Array.of(port & 255));
      expect(cache.get({ ...remote, port: 1 })).to.equal(undefined);
      expect(cache.get({ ...remote, port: MOST_COOKIES + 1 })).to.be.an.instanceof(Uint8Array);
    });
  });
});
