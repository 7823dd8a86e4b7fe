import { FALL_MS, LearntRate, RISE_MS } from "@hybrid-access/core/policy/learnt-rate";
import { expect } from "chai";
import fc from "fast-check";

const STEP_MS = 500;
const LEAST_MS = 20;

/** Feeds one rate in Mbit/s for a time, at a round-trip time; gives what is known then, in Mbit/s. */
function feed(rate: LearntRate, durationMs: number, megabits: number, rttMs: number | undefined): number {
  for (let passedMs = 0; passedMs < durationMs; passedMs += STEP_MS) {
    rate.add({ durationMs: STEP_MS, bitsPerSecond: megabits * 1e6, rttMs, leastRttMs: LEAST_MS });
  }
  return rate.bitsPerSecond / 1e6;
}

describe("a line's rate", () => {
  it("is what it carried while packets queued before it", () => {
    expect(feed(new LearntRate(), RISE_MS + STEP_MS, 20, 100)).to.be.closeTo(20, 0.001);
  });

  it("is not known from what it carried without a queue, without a measurement, or when it carried next to nothing", () => {
    expect(feed(new LearntRate(), 60_000, 20, LEAST_MS + 15)).to.equal(0);
    expect(feed(new LearntRate(), 60_000, 20, undefined)).to.equal(0);
    expect(feed(new LearntRate(), 60_000, 0.1, 300)).to.equal(0);
  });

  it("rises as soon as it has carried more, and falls only after a long time of queueing at less", () => {
    const rate = new LearntRate();
    expect(feed(rate, 2000, 10, 100)).to.be.closeTo(10, 0.001);
    expect(feed(rate, 2000, 20, 100)).to.be.closeTo(20, 0.001);
    expect(feed(rate, FALL_MS - 2 * STEP_MS, 5, 100)).to.be.closeTo(20, 0.001);
    expect(feed(rate, 2 * STEP_MS, 5, 100)).to.be.closeTo(5, 0.001);
  });

  it("does not fall when the queue goes in between, and does not change by what is within the noise", () => {
    const rate = new LearntRate();
    feed(rate, 2000, 20, 100);
    for (let round = 0; round < 10; round++) {
      feed(rate, FALL_MS - STEP_MS, 5, 100);
      feed(rate, STEP_MS, 5, LEAST_MS);
    }
    expect(feed(rate, 60_000, 19, 100)).to.be.closeTo(20, 0.001);
  });

  it("never is above what was carried", () => {
    const sample = fc.record({ megabits: fc.double({ min: 0, max: 100, noNaN: true }), rttMs: fc.nat(300) });
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1 }), (samples) => {
        const rate = new LearntRate();
        for (const { megabits, rttMs } of samples) feed(rate, STEP_MS, megabits, rttMs);
        const most = Math.max(...samples.map(({ megabits }) => megabits));
        expect(rate.bitsPerSecond / 1e6).to.be.at.most(most + 1e-6);
      }),
    );
  });
});
