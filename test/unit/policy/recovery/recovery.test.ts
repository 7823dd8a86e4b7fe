import { DuplicateAcknowledgements } from "@hybrid-access/core/policy/recovery/duplicate-acknowledgements";
import { ProportionalRate } from "@hybrid-access/core/policy/recovery/proportional-rate";
import { Rack } from "@hybrid-access/core/policy/recovery/rack";
import type { DetectionInput, LossDetector, SentRange } from "@hybrid-access/core/policy/recovery/recovery";
import { expect } from "chai";

type Entry = { -readonly [Key in keyof SentRange]: SentRange[Key] };

/** Ten segments of 1000 bytes, sent one millisecond apart from 0 ms on. */
function tenSegments(): Entry[] {
  return Array.from({ length: 10 }, (_, index) => ({
    start: index * 1000,
    end: (index + 1) * 1000,
    sentMs: index,
    transmissions: 1,
    delivered: false,
    lost: false,
  }));
}

/** An acknowledgement that delivers the segments with these numbers. */
function acknowledge(detector: LossDetector, ranges: Entry[], numbers: number[], part: Partial<DetectionInput> = {}) {
  const delivered = ranges.filter((_, index) => numbers.includes(index));
  for (const range of delivered) range.delivered = true;
  return detector.detect({
    nowMs: 100,
    ranges,
    delivered,
    smoothedRttMs: 100,
    minimumRttMs: 100,
    inRecovery: false,
    duplicateReported: false,
    duplicateAcknowledgements: 0,
    markLost: (range) => {
      (range as Entry).lost = true;
    },
    ...part,
  });
}

function lostOf(ranges: Entry[]): number[] {
  return ranges.flatMap(({ lost }, index) => (lost ? [index] : []));
}

describe("policy/recovery", () => {
  describe("RACK (RFC 8985)", () => {
    it("waits a quarter of a round trip for what was sent before something that has arrived", () => {
      const ranges = tenSegments();
      const waitMs = acknowledge(new Rack(), ranges, [2], { nowMs: 102 });
      expect(lostOf(ranges)).to.deep.equal([]);
      expect(waitMs).to.be.closeTo(25 - 1, 0.001);
    });

    it("does not wait when three segments have arrived behind it and nothing was ever reordered", () => {
      const ranges = tenSegments();
      const detector = new Rack();
      acknowledge(detector, ranges, [2, 3], { nowMs: 103 });
      acknowledge(detector, ranges, [4], { nowMs: 104 });
      expect(lostOf(ranges)).to.deep.equal([0, 1]);
    });

    it("takes nothing for lost that was sent later than what has arrived", () => {
      const ranges = tenSegments();
      acknowledge(new Rack(), ranges, [4, 5, 6], { nowMs: 500 });
      expect(lostOf(ranges)).to.deep.equal([0, 1, 2, 3]);
    });

    it("waits after reordering was seen, and longer after a duplicate was reported", () => {
      const waits = [false, true].map((duplicateReported) => {
        const ranges = tenSegments();
        const detector = new Rack();
        acknowledge(detector, ranges, [5], { nowMs: 105 });
        acknowledge(detector, ranges, [3], { nowMs: 105, duplicateReported });
        return acknowledge(detector, ranges, [6, 7, 8], { nowMs: 108 }) ?? 0;
      });
      expect(waits[0]).to.be.above(15);
      expect(waits[1]).to.be.above((waits[0] ?? 0) + 20);
    });

    it("does not believe that a repetition has arrived sooner than any segment could", () => {
      const ranges = tenSegments();
      const detector = new Rack();
      const [first] = ranges;
      if (first !== undefined) Object.assign(first, { sentMs: 90, transmissions: 2 });
      acknowledge(detector, ranges, [0], { nowMs: 100 });
      expect(lostOf(ranges)).to.deep.equal([]);
    });
  });

  it("without SACK the third duplicate says that the first segment is lost, and partial ones the next (RFC 6582)", () => {
    const ranges = tenSegments();
    const detector = new DuplicateAcknowledgements();
    for (const duplicateAcknowledgements of [1, 2]) acknowledge(detector, ranges, [], { duplicateAcknowledgements });
    expect(lostOf(ranges)).to.deep.equal([]);
    acknowledge(detector, ranges, [], { duplicateAcknowledgements: 3 });
    expect(lostOf(ranges)).to.deep.equal([0]);
    const rest = ranges.slice(4);
    acknowledge(detector, [...ranges.slice(0, 4), ...rest], [0, 1, 2, 3], { ranges: rest, inRecovery: true });
    expect(lostOf(rest)).to.deep.equal([0]);
  });

  it("proportional rate reduction lets half of what is delivered go, evenly, and ends at the threshold (RFC 9937)", () => {
    const rate = new ProportionalRate(20_000);
    let inFlightBytes = 19_000;
    let sent = 0;
    for (let count = 0; count < 19; count++) {
      inFlightBytes -= 1000;
      const common = { thresholdBytes: 10_000, segmentBytes: 1000, safe: true, repeatsNow: false };
      rate.onDelivered({ deliveredBytes: 1000, inFlightBytes, ...common });
      while (rate.allowedBytes >= 1000) {
        rate.onSent(1000);
        inFlightBytes += 1000;
        sent += 1;
      }
      expect(sent).to.be.at.least(Math.floor(count / 2));
    }
    expect(inFlightBytes).to.be.within(9000, 10_000);
  });

  it("proportional rate reduction lets the first repetition go at once", () => {
    const rate = new ProportionalRate(20_000);
    const common = { segmentBytes: 1000, safe: false, repeatsNow: false };
    rate.onDelivered({ deliveredBytes: 0, inFlightBytes: 19_000, thresholdBytes: 10_000, ...common });
    expect(rate.allowedBytes).to.equal(1000);
  });
});
