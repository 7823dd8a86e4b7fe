/** What loss recovery does where nothing was lost, and slow start before anything is. */
import { equalBytes } from "@hybrid-access/core/base/bytes";
import { CONGESTION_ALGORITHMS } from "@hybrid-access/core/policy/congestion/algorithms";
import type { CongestionAlgorithm } from "@hybrid-access/core/policy/congestion/congestion";
import type { TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { pattern, TcpPair, type TcpPairOptions } from "./tcp-pair.ts";

/** One that goes by delay takes what was late for a queue, and ends slow start at the first one. */
const BY_LOSS = CONGESTION_ALGORITHMS.filter(({ name }) => name !== "wvegas");

const DELAY_MS = 25;
const TOTAL = 2_000_000;

/** A client that writes as much as there is room for, `TOTAL` bytes in all. */
function sending(options: TcpPairOptions): TcpPair {
  const pair = new TcpPair(options).connect();
  const bytes = pattern(TOTAL);
  let written = 0;
  pair.onStep = () => {
    written += pair.client.connection.write(bytes.subarray(written, written + 100_000));
  };
  return pair;
}

function expectWhole(pair: TcpPair): void {
  expect(pair.run(() => pair.server.receivedBytes === TOTAL, 60_000)).to.equal(true);
  expect(equalBytes(pair.server.bytes, pattern(TOTAL))).to.equal(true);
}

describe("stack/tcp: losses that were none", () => {
  for (const timestamps of [true, false]) {
    const how = timestamps ? "by timestamps" : "by F-RTO, without timestamps";
    for (const congestion of BY_LOSS) {
      it(`undoes a timeout on a path that stood still, ${how}, and repeats next to nothing (${congestion.name})`, () => {
        const link = { delayMs: DELAY_MS, rateBitsPerSecond: 20e6 };
        const pair = sending({ link, client: { timestamps, congestion } });
        const { recovery } = pair.client.connection.sender;
        pair.run(() => pair.server.receivedBytes > 300_000);
        const before = recovery.congestion.windowBytes;
        pair.forward.configure({ ...link, heldUntilMs: pair.nowMs + 600 });
        pair.run(() => recovery.timeouts > 0);
        pair.forward.configure(link);
        pair.run(() => recovery.undone > 0 || recovery.phase === "open", 5000);
        expect(recovery.undone).to.equal(1);
        expect(recovery.congestion.slowStartThresholdBytes).to.be.at.least(before);
        expect(recovery.phase).to.equal("open");
        expectWhole(pair);
        // One at each timeout; a needless go-back would repeat the whole window.
        expect(recovery.repeatedBytes).to.be.at.most(recovery.timeouts * 1440);
        expect(recovery.losses).to.equal(1);
      });
    }

    it(`undoes a recovery from one segment that was only late, ${timestamps ? how : "by the duplicate's report"}`, () => {
      let held: TcpSegment | undefined;
      let count = 0;
      // One segment is overtaken by twenty others.
      const middlebox = (segment: TcpSegment) => {
        if (segment.payload.length === 0) return [segment];
        count += 1;
        if (count === 100) held = segment;
        if (count === 100) return [];
        const late = count === 120 && held !== undefined ? [held] : [];
        return [segment, ...late];
      };
      const link = { delayMs: DELAY_MS, rateBitsPerSecond: 20e6, middlebox };
      const pair = sending({ link, linkBack: { delayMs: DELAY_MS }, client: { timestamps } });
      const { recovery } = pair.client.connection.sender;
      pair.run(() => recovery.losses > 0);
      const before = recovery.congestion.windowBytes;
      expect(pair.run(() => recovery.undone > 0, 1000)).to.equal(true);
      expect(recovery.congestion.slowStartThresholdBytes).to.be.at.least(before);
      expectWhole(pair);
      expect(recovery.losses).to.equal(1);
    });
  }

  it("does not undo what was a loss, though acknowledgements are late too", () => {
    for (const timestamps of [true, false]) {
      let number = 0;
      const middlebox = (segment: TcpSegment) =>
        segment.payload.length > 0 && number++ % 150 === 100 ? [] : [segment];
      const link = { delayMs: DELAY_MS, rateBitsPerSecond: 20e6, middlebox };
      const linkBack = { delayMs: DELAY_MS, reorder: 0.2, reorderMs: 30 };
      const pair = sending({ link, linkBack, client: { timestamps } });
      expectWhole(pair);
      const { recovery } = pair.client.connection.sender;
      expect(recovery.losses).to.be.greaterThan(3);
      expect(recovery.undone).to.equal(0);
    }
  });

  it("takes a timeout for one where everything in flight is lost", () => {
    for (const timestamps of [true, false]) {
      const link = { delayMs: DELAY_MS, rateBitsPerSecond: 20e6 };
      const pair = sending({ link, client: { timestamps } });
      const { recovery } = pair.client.connection.sender;
      pair.run(() => pair.server.receivedBytes > 300_000);
      pair.forward.configure({ ...link, loss: 1 });
      pair.run(() => recovery.timeouts > 0);
      pair.forward.configure(link);
      expectWhole(pair);
      expect(recovery.undone).to.equal(0);
    }
  });
});

describe("stack/tcp: slow start (HyStart++, RFC 9406)", () => {
  /** 20 Mbit/s and 20 ms: 50,000 bytes are on the line, whatever its queue takes. */
  function start(congestion: CongestionAlgorithm, queueBytes: number) {
    const link = { delayMs: 10, rateBitsPerSecond: 20e6, queueBytes };
    const buffers = { sendBufferBytes: 4_000_000, receiveBufferBytes: 4_000_000 };
    const pair = sending({ link, client: { congestion, ...buffers }, server: buffers });
    return { pair, recovery: pair.client.connection.sender.recovery, sinceMs: pair.nowMs };
  }

  for (const congestion of BY_LOSS) {
    it(`ends before a long queue overflows, and fills the line (${congestion.name})`, () => {
      const { pair, recovery, sinceMs } = start(congestion, 900_000);
      pair.run(() => recovery.congestion.slowStartThresholdBytes < Number.POSITIVE_INFINITY);
      expect(recovery.losses).to.equal(0);
      expect(recovery.congestion.windowBytes).to.be.within(50_000, 800_000);
      expectWhole(pair);
      expect(recovery.repeatedBytes).to.equal(0);
      expect((8 * TOTAL) / (pair.nowMs - sinceMs) / 1000).to.be.greaterThan(18);
    });

    it(`overflows a shorter one by little (${congestion.name})`, () => {
      const { pair, recovery } = start(congestion, 250_000);
      expectWhole(pair);
      // Doubling loses as much as there was room for.
      expect(recovery.repeatedBytes).to.be.below(80_000);
    });
  }
});
