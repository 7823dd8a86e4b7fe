/** What every congestion control must do, and what each one does. */
import { CONGESTION_ALGORITHMS } from "@hybrid-access/core/policy/congestion/algorithms";
import { type CongestionControl, initialWindowBytes } from "@hybrid-access/core/policy/congestion/congestion";
import { CUBIC } from "@hybrid-access/core/policy/congestion/cubic";
import { NEW_RENO } from "@hybrid-access/core/policy/congestion/new-reno";
import { expect } from "chai";

const SEGMENT = 1000;

/** Acknowledges a whole window, one segment after another, `rttMs` later. Returns the time. */
function roundTrip(control: CongestionControl, nowMs: number, rttMs = 100, windowLimited = true): number {
  const window = control.windowBytes;
  const atMs = nowMs + rttMs;
  for (let bytes = 0; bytes + SEGMENT <= window; bytes += SEGMENT) {
    const ack = { bytes: SEGMENT, inFlightBytes: window, smoothedRttMs: rttMs, rttMs, windowLimited };
    control.onAcknowledged({ nowMs: atMs, acknowledgedTo: bytes, sentTo: bytes, ...ack });
  }
  return atMs;
}

describe("policy/congestion", () => {
  it("begins with ten segments, or less of large ones (RFC 6928)", () => {
    expect(initialWindowBytes(1000)).to.equal(10_000);
    expect(initialWindowBytes(1460)).to.equal(14_600);
    expect(initialWindowBytes(9000)).to.equal(18_000);
  });

  for (const algorithm of CONGESTION_ALGORITHMS) {
    describe(algorithm.name, () => {
      it("doubles the window in a round trip of slow start", () => {
        const control = algorithm.create(SEGMENT);
        expect(control.windowBytes).to.equal(10_000);
        roundTrip(control, 0);
        expect(control.windowBytes).to.equal(20_000);
      });

      it("does not grow a window that is not used", () => {
        const control = algorithm.create(SEGMENT);
        let nowMs = 0;
        for (let round = 0; round < 10; round++) nowMs = roundTrip(control, nowMs, 100, false);
        expect(control.windowBytes).to.equal(10_000);
      });

      it("reduces at a loss, to no less than two segments, and to one at a timeout", () => {
        const control = algorithm.create(SEGMENT);
        control.onLoss(100, 10_000);
        control.onRecovered(200);
        expect(control.windowBytes).to.be.within(5000, 7000);
        for (let loss = 0; loss < 10; loss++) {
          control.onLoss(300, 2000);
          control.onRecovered(300);
        }
        expect(control.windowBytes).to.equal(2000);
        control.onTimeout(400, 2000);
        expect(control.windowBytes).to.equal(1000);
        expect(control.slowStartThresholdBytes).to.equal(2000);
      });

      it("grows by slow start after a timeout up to the threshold, and slowly behind it", () => {
        const control = algorithm.create(SEGMENT);
        control.onTimeout(0, 40_000);
        const threshold = control.slowStartThresholdBytes;
        let nowMs = 0;
        while (control.windowBytes < threshold) nowMs = roundTrip(control, nowMs);
        const before = control.windowBytes;
        roundTrip(control, nowMs);
        expect(control.windowBytes - before).to.be.within(1, 0.6 * before);
      });

      it("begins again with the initial window after an idle time, and keeps a smaller one", () => {
        const control = algorithm.create(SEGMENT);
        for (let round = 0; round < 4; round++) roundTrip(control, round * 100);
        control.onIdle(10_000);
        expect(control.windowBytes).to.equal(10_000);
      });

      it("goes back to what was before a loss or a timeout that was none, by slow start, and once (RFC 4015)", () => {
        const control = algorithm.create(SEGMENT);
        let nowMs = 0;
        while (control.windowBytes < 100_000) nowMs = roundTrip(control, nowMs);
        control.onLoss(nowMs, control.windowBytes);
        control.onRecovered(nowMs);
        for (let round = 0; round < 5; round++) nowMs = roundTrip(control, nowMs);
        const before = control.windowBytes;
        control.onTimeout(nowMs, before);
        control.onSpurious(20_000);
        expect(control.windowBytes).to.equal(30_000);
        expect(control.slowStartThresholdBytes).to.be.at.least(before);
        while (control.windowBytes < before) nowMs = roundTrip(control, nowMs);
        const grown = control.windowBytes;
        nowMs = roundTrip(control, nowMs);
        expect(control.windowBytes - grown).to.be.within(1, 5000);
        control.onLoss(nowMs, control.windowBytes);
        control.onRecovered(nowMs);
        control.onSpurious(control.windowBytes);
        const back = control.windowBytes;
        control.onSpurious(1_000_000);
        expect(control.windowBytes).to.equal(back);
      });

      it("halves the window and has the threshold follow when it is penalized, in slow start too (NSDI 2012)", () => {
        const control = algorithm.create(SEGMENT);
        let nowMs = 0;
        while (control.windowBytes < 60_000) nowMs = roundTrip(control, nowMs);
        const before = control.windowBytes;
        control.onPenalized();
        expect(control.windowBytes).to.be.closeTo(before / 2, 1);
        expect(control.slowStartThresholdBytes).to.be.closeTo(before / 2, 1);
        nowMs = roundTrip(control, nowMs);
        expect(control.windowBytes).to.be.below(0.8 * before);
        for (let times = 0; times < 20; times++) control.onPenalized();
        expect(control.windowBytes).to.equal(SEGMENT);
        expect(control.slowStartThresholdBytes).to.equal(2 * SEGMENT);
      });

      it("keeps at least one segment when segments become larger or smaller", () => {
        const control = algorithm.create(SEGMENT);
        control.onTimeout(0, 2000);
        control.setSegmentBytes(9000);
        expect(control.windowBytes).to.be.at.least(9000);
        control.setSegmentBytes(500);
        expect(control.windowBytes).to.be.at.least(500);
      });

      it("never has a window that is not a number, whatever happens", () => {
        const control = algorithm.create(SEGMENT);
        let nowMs = 0;
        for (let step = 0; step < 2000; step++) {
          nowMs = roundTrip(control, nowMs, 1 + (step % 7) * 30, step % 3 > 0);
          if (step % 11 === 0) control.onLoss(nowMs, control.windowBytes * (step % 2));
          if (step % 11 === 1) control.onRecovered(nowMs);
          if (step % 97 === 0) control.onTimeout(nowMs, control.windowBytes);
          if (step % 53 === 0) control.onIdle(nowMs);
          if (step % 61 === 0) control.onPenalized();
          expect(control.windowBytes).to.be.within(500, 1e9);
          if (control.windowBytes > 500_000) control.onTimeout(nowMs, control.windowBytes);
        }
      });
    });
  }

  it("Reno adds one segment in each round trip of congestion avoidance, and halves at a loss", () => {
    const control = NEW_RENO.create(SEGMENT);
    control.onLoss(0, 40_000);
    control.onRecovered(0);
    expect(control.windowBytes).to.equal(20_000);
    let nowMs = 0;
    for (let round = 1; round <= 20; round++) {
      nowMs = roundTrip(control, nowMs);
      expect(control.windowBytes).to.be.within(20_000 + (round - 2) * SEGMENT, 20_000 + round * SEGMENT);
    }
  });

  it("CUBIC follows its curve: back at the old window after K, flat there, and steep behind it (RFC 9438 section 4.2)", () => {
    const control = CUBIC.create(SEGMENT);
    control.onLoss(0, 10_000_000);
    // The window before the loss was 10 segments only; make it large by slow start first.
    const large = CUBIC.create(SEGMENT);
    let nowMs = 0;
    while (large.windowBytes < 1_000_000) nowMs = roundTrip(large, nowMs, 50);
    const before = large.windowBytes / SEGMENT;
    large.onLoss(nowMs, large.windowBytes);
    large.onRecovered(nowMs);
    expect(large.windowBytes / SEGMENT).to.be.closeTo(0.7 * before, 1);
    const plateauMs = Math.cbrt((0.3 * before) / 0.4) * 1000;
    const lossMs = nowMs;
    const windowAt = (untilMs: number) => {
      while (nowMs < untilMs) nowMs = roundTrip(large, nowMs, 50);
      return large.windowBytes / SEGMENT;
    };
    expect(windowAt(lossMs + plateauMs)).to.be.closeTo(before, 0.02 * before);
    const flat = windowAt(lossMs + 1.2 * plateauMs) - before;
    expect(flat).to.be.below(0.03 * before);
    expect(windowAt(lossMs + 2 * plateauMs)).to.be.above(1.2 * before);
  });
});
