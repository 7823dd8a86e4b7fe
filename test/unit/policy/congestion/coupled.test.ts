/** Coupled congestion control against numbers worked out by hand, and what holds for any windows and times. */
import { BALIA, BALIA_RULE, baliaAlpha } from "@hybrid-access/core/policy/congestion/balia";
import type { CongestionAlgorithm, CongestionControl } from "@hybrid-access/core/policy/congestion/congestion";
import { LIA, LIA_RULE, liaAlpha } from "@hybrid-access/core/policy/congestion/lia";
import { NEW_RENO } from "@hybrid-access/core/policy/congestion/new-reno";
import { OLIA, OLIA_RULE, oliaAlpha } from "@hybrid-access/core/policy/congestion/olia";
import type { CoupledSubflow } from "@hybrid-access/core/policy/congestion/reno-control";
import { backlogSegments, vegasAlpha, WEIGHTED_VEGAS } from "@hybrid-access/core/policy/congestion/weighted-vegas";
import { expect } from "chai";
import fc from "fast-check";

const SEGMENT = 1000;
const EXACT = 1e-9;

function subflow(segments: number, rttMs: number, lossIntervalBytes = 0): CoupledSubflow {
  return { settledWindowBytes: segments * SEGMENT, segmentBytes: SEGMENT, rttMs, lossIntervalBytes };
}

function acknowledge(control: CongestionControl, bytes: number, rttMs: number, sentTo = 0): void {
  control.onAcknowledged({
    nowMs: 0,
    bytes,
    inFlightBytes: control.windowBytes,
    acknowledgedTo: 0,
    sentTo,
    smoothedRttMs: rttMs,
    rttMs,
    windowLimited: true,
  });
}

/** Subflows of one connection in congestion avoidance with these windows, of which one loss has told. */
function group(algorithm: CongestionAlgorithm, paths: readonly (readonly [segments: number, rttMs: number])[]) {
  const controls: CongestionControl[] = [];
  const own = { controls };
  for (const [segments, rttMs] of paths) {
    const control = algorithm.create(SEGMENT, own);
    control.onLoss(0, 2 * segments * SEGMENT);
    control.onRecovered(0);
    // Nothing of it is new data, but it tells the time.
    acknowledge(control, 0, rttMs);
    controls.push(control);
  }
  return controls;
}

describe("policy/congestion: LIA (RFC 6356)", () => {
  it("has an alpha of 1 for one subflow, and of a half for two alike", () => {
    expect(liaAlpha([subflow(17, 35)])).to.be.closeTo(1, EXACT);
    // 20 * (10 / 100^2) / (10 / 100 + 10 / 100)^2
    expect(liaAlpha([subflow(10, 100), subflow(10, 100)])).to.be.closeTo(0.5, EXACT);
  });

  it("has the alpha of formula (2) for two subflows and for three", () => {
    // 30 * max(10/20^2, 20/50^2) / (10/20 + 20/50)^2 = 30 * 0.025 / 0.81
    expect(liaAlpha([subflow(10, 20), subflow(20, 50)])).to.be.closeTo(0.75 / 0.81, EXACT);
    // 60 * max(0.001, 0.008, 0.0033..) / (0.1 + 0.4 + 0.3166..)^2: 10 at 100 ms, 20 at 50 ms, 30 at 95 ms
    const third = 30 / 95;
    expect(liaAlpha([subflow(10, 100), subflow(20, 50), subflow(30, 95)])).to.be.closeTo(
      (60 * 0.008) / (0.5 + third) ** 2,
      EXACT,
    );
  });

  it("grows by formula (1): linked where that is less, as TCP alone where that is less", () => {
    const all = [subflow(10, 20), subflow(20, 50)] as const;
    // alpha * 1 / 30 = 0.030864..; alone it would be 1/10 and 1/20.
    expect(LIA_RULE.growth(all[0], all)).to.be.closeTo(0.025 / 0.81, EXACT);
    expect(LIA_RULE.growth(all[1], all)).to.be.closeTo(0.025 / 0.81, EXACT);
    // 2 at 10 ms and 100 at 200 ms: 0.02 / (0.2 + 0.5)^2 = 0.0408 against 1/100.
    const far = [subflow(2, 10), subflow(100, 200)] as const;
    expect(LIA_RULE.growth(far[1], far)).to.be.closeTo(0.01, EXACT);
    expect(LIA_RULE.growth(far[0], far)).to.be.closeTo(0.02 / 0.49, EXACT);
  });

  it("counts a subflow in recovery with the window that it will have", () => {
    const [first, second] = group(LIA, [
      [10, 100],
      [30, 100],
    ]) as [CongestionControl, CongestionControl];
    second.onLoss(0, 20_000);
    // As two of ten segments: alpha 1/2, 1/2 * 1/20 of what is acknowledged.
    acknowledge(first, SEGMENT, 100);
    expect(first.windowBytes).to.be.closeTo(10_025, EXACT);
    second.onRecovered(0);
    expect(second.windowBytes).to.equal(10_000);
  });
});

describe("policy/congestion: OLIA", () => {
  it("moves windows from the largest ones to the best ones, in shares of the number of paths", () => {
    // l / rtt^2: 4, 9 and 1. M = {third}, B = {second}: +1/3 and -1/3.
    const three = [subflow(10, 50, 10_000), subflow(5, 100, 90_000), subflow(20, 100, 10_000)] as const;
    expect(three.map((own) => oliaAlpha(own, three))).to.deep.equal([0, 1 / 3, -1 / 3]);
    // Two of the best, and two of the largest: 1 / (4 * 2).
    const four = [subflow(2, 100, 50_000), subflow(3, 100, 50_000), subflow(9, 100, 1), subflow(9, 100, 1)] as const;
    expect(four.map((own) => oliaAlpha(own, four))).to.deep.equal([1 / 8, 1 / 8, -1 / 8, -1 / 8]);
  });

  it("moves nothing where the best path has the largest window already, to the segment", () => {
    const two = [subflow(10, 100, 50_000), subflow(4, 100, 20_000)] as const;
    expect(two.map((own) => oliaAlpha(own, two))).to.deep.equal([0, 0]);
    const alike = [subflow(10.1, 100, 50_000), subflow(10.9, 100, 20_000)] as const;
    expect(alike.map((own) => oliaAlpha(own, alike))).to.deep.equal([0, 0]);
  });

  it("grows by w / rtt^2 over the squared sum of rates, and alpha / w", () => {
    const all = [subflow(20, 100, 10_000), subflow(10, 100, 90_000)] as const;
    // 20/100^2 / 0.3^2 - 1/2/20 = 0.0222.. - 0.025; 10/100^2 / 0.3^2 + 1/2/10 = 0.0111.. + 0.05
    expect(OLIA_RULE.growth(all[0], all)).to.be.closeTo(0.002 / 0.09 - 0.025, EXACT);
    expect(OLIA_RULE.growth(all[1], all)).to.be.closeTo(0.001 / 0.09 + 0.05, EXACT);
  });

  it("takes for the interval between losses the larger of the last one and the one that lasts", () => {
    const [control] = group(OLIA, [[10, 100]]) as unknown as [CongestionControl & CoupledSubflow];
    acknowledge(control, 7000, 100);
    expect(control.lossIntervalBytes).to.equal(7000);
    control.onLoss(0, 10_000);
    control.onRecovered(0);
    acknowledge(control, 3000, 100);
    expect(control.lossIntervalBytes).to.equal(7000);
    acknowledge(control, 6000, 100);
    expect(control.lossIntervalBytes).to.equal(9000);
    control.onLoss(0, 10_000);
    // It was none: 9000 since the last one, and 7000 before.
    control.onSpurious(10_000);
    acknowledge(control, 1000, 100);
    expect(control.lossIntervalBytes).to.equal(10_000);
  });
});

describe("policy/congestion: BALIA", () => {
  // Rates of 100 and 400 segments a second.
  const all = [subflow(10, 100), subflow(20, 50)] as const;

  it("has for alpha how much faster the fastest subflow is", () => {
    expect(all.map((own) => baliaAlpha(own, all))).to.deep.equal([4, 1]);
  });

  it("grows by x / rtt over the squared sum, times (1 + alpha) / 2 and (4 + alpha) / 5", () => {
    // 0.1 / 100 / 0.5^2 = 0.004, * 2.5 * 1.6; 0.4 / 50 / 0.5^2 = 0.032, * 1 * 1
    expect(BALIA_RULE.growth(all[0], all)).to.be.closeTo(0.016, EXACT);
    expect(BALIA_RULE.growth(all[1], all)).to.be.closeTo(0.032, EXACT);
  });

  it("takes half the window at a loss, times alpha, but no more than three quarters", () => {
    expect(all.map((own) => BALIA_RULE.reduction(own, all))).to.deep.equal([0.75, 0.5]);
    const near = [subflow(10, 100), subflow(12, 100)] as const;
    expect(BALIA_RULE.reduction(near[0], near)).to.be.closeTo(0.6, EXACT);
    const [slow] = group(BALIA, [
      [10, 100],
      [20, 50],
    ]) as [CongestionControl];
    slow.onLoss(0, 10_000);
    slow.onRecovered(0);
    expect(slow.windowBytes).to.equal(2500);
  });
});

describe("policy/congestion: coupled subflows", () => {
  it("alone are NewReno", () => {
    for (const algorithm of [LIA, OLIA, BALIA]) {
      const [coupled] = group(algorithm, [[10, 100]]) as [CongestionControl];
      const [alone] = group(NEW_RENO, [[10, 100]]) as [CongestionControl];
      for (let step = 0; step < 500; step++) {
        for (const control of [coupled, alone]) {
          acknowledge(control, SEGMENT * (1 + (step % 3)), 20 + (step % 90));
          if (step % 40 === 39) control.onLoss(step, control.windowBytes);
          if (step % 40 === 39) control.onRecovered(step);
          if (step % 190 === 189) control.onTimeout(step, control.windowBytes);
        }
        expect(coupled.windowBytes, algorithm.name).to.equal(alone.windowBytes);
        expect(coupled.slowStartThresholdBytes).to.equal(alone.slowStartThresholdBytes);
      }
    }
  });

  it("go down to one segment with OLIA and BALIA, to two with LIA as any TCP", () => {
    for (const [algorithm, least] of [[LIA, 2000] as const, [OLIA, 1000] as const, [BALIA, 1000] as const]) {
      const [control] = group(algorithm, [
        [2, 100],
        [2, 100],
      ]) as [CongestionControl];
      control.onLoss(0, SEGMENT);
      control.onRecovered(0);
      expect(control.windowBytes, algorithm.name).to.equal(least);
    }
  });

  it("keep slow start for themselves", () => {
    for (const algorithm of [LIA, OLIA, BALIA, WEIGHTED_VEGAS]) {
      const [control] = group(algorithm, [
        [10, 100],
        [10, 100],
      ]) as [CongestionControl];
      control.onTimeout(0, 40_000);
      acknowledge(control, SEGMENT, 100);
      expect(control.windowBytes, algorithm.name).to.equal(2 * SEGMENT);
    }
  });

  const paths = fc.array(
    fc.record({
      settledWindowBytes: fc.double({ min: SEGMENT, max: 1e8, noNaN: true }),
      segmentBytes: fc.constantFrom(500, 1000, 1428),
      rttMs: fc.double({ min: 0.001, max: 60_000, noNaN: true }),
      lossIntervalBytes: fc.nat(1e9),
    }),
    { minLength: 1, maxLength: 8 },
  );

  it("with LIA are on no path more aggressive than NewReno, and grow", () => {
    fc.assert(
      fc.property(paths, (all) => {
        for (const own of all) {
          const growth = LIA_RULE.growth(own, all);
          expect(growth).to.be.greaterThan(0);
          expect(growth).to.be.at.most((own.segmentBytes / own.settledWindowBytes) * (1 + EXACT));
        }
      }),
    );
  });

  it("with OLIA and BALIA grow by finite numbers and lose shares", () => {
    fc.assert(
      fc.property(paths, (all) => {
        for (const own of all) {
          expect(OLIA_RULE.growth(own, all)).to.satisfy(Number.isFinite);
          expect(BALIA_RULE.growth(own, all)).to.satisfy(Number.isFinite);
          expect(BALIA_RULE.reduction(own, all)).to.be.within(0.5, 0.75);
        }
        // What OLIA gives to some it takes from others.
        const sum = all.reduce((total, own) => total + oliaAlpha(own, all), 0);
        expect(sum).to.be.closeTo(0, EXACT);
      }),
    );
  });

  const happening = fc.record({
    subflow: fc.nat(2),
    what: fc.constantFrom("acknowledged", "acknowledged", "acknowledged", "loss", "recovered", "timeout", "spurious"),
    bytes: fc.nat(100_000),
    rttMs: fc.double({ min: 0, max: 10_000, noNaN: true }),
  });

  for (const algorithm of [LIA, OLIA, BALIA, WEIGHTED_VEGAS]) {
    it(`with ${algorithm.name} have at least one segment and a finite window, whatever happens to them`, () => {
      fc.assert(
        fc.property(fc.array(happening, { maxLength: 200 }), (happenings) => {
          const controls = group(algorithm, [
            [10, 20],
            [20, 50],
            [2, 300],
          ]);
          for (const { subflow: index, what, bytes, rttMs } of happenings) {
            const control = controls[index] as CongestionControl;
            if (what === "acknowledged") acknowledge(control, bytes, rttMs);
            if (what === "loss") control.onLoss(0, bytes);
            if (what === "recovered" && Number.isFinite(control.slowStartThresholdBytes)) control.onRecovered(0);
            if (what === "timeout") control.onTimeout(0, bytes);
            if (what === "spurious") control.onSpurious(bytes);
            expect(control.windowBytes).to.be.within(SEGMENT, 1e9);
          }
        }),
      );
    });
  }
});

describe("policy/congestion: wVegas", () => {
  interface Flow {
    readonly control: CongestionControl;
    acknowledgedTo: number;
    sentTo: number;
  }

  /** A flow that has seen its path empty, with its first window sent. */
  function begin(control: CongestionControl, baseRttMs: number): Flow {
    acknowledge(control, 0, baseRttMs, control.windowBytes);
    return { control, acknowledgedTo: 0, sentTo: control.windowBytes };
  }

  /** The same in congestion avoidance. */
  function settled(segments: number, baseRttMs: number, controls: CongestionControl[] = []): Flow {
    const control = WEIGHTED_VEGAS.create(SEGMENT, { controls });
    controls.push(control);
    control.onLoss(0, 2 * segments * SEGMENT);
    control.onRecovered(0);
    return begin(control, baseRttMs);
  }

  /** A round trip: what was sent when it began is acknowledged, segment by segment, and more is sent for it. */
  function round(flow: Flow, rttMs: number): void {
    const { control, sentTo: end } = flow;
    while (flow.acknowledgedTo < end) {
      const inFlightBytes = Math.floor(control.windowBytes / SEGMENT) * SEGMENT;
      flow.acknowledgedTo += SEGMENT;
      flow.sentTo = flow.acknowledgedTo + inFlightBytes;
      const { acknowledgedTo, sentTo } = flow;
      const positions = { acknowledgedTo, sentTo, inFlightBytes };
      const times = { nowMs: 0, smoothedRttMs: rttMs, rttMs };
      control.onAcknowledged({ ...positions, ...times, bytes: SEGMENT, windowLimited: true });
    }
  }

  it("knows of its segments how many wait in queues, by base and present round-trip time", () => {
    // 50 segments in 50 ms are 40 in 40 ms and 10 that wait.
    expect(backlogSegments(50, 50, 40)).to.be.closeTo(10, EXACT);
    expect(backlogSegments(50, 40, 40)).to.equal(0);
  });

  it("shares ten segments by rates, at least two for each", () => {
    expect(vegasAlpha(3, [3, 1])).to.be.closeTo(7.5, EXACT);
    expect(vegasAlpha(1, [3, 1])).to.be.closeTo(2.5, EXACT);
    expect(vegasAlpha(1, [9, 1])).to.equal(2);
    expect(vegasAlpha(5, [5])).to.equal(10);
  });

  it("grows by one segment in a round trip while fewer than alpha wait, and shrinks by one while more do", () => {
    const flow = settled(20, 40);
    const { control } = flow;
    round(flow, 40);
    expect(control.windowBytes).to.equal(21_000);
    // 21 * 20 / 60 = 7 wait: more than the 2 of the beginning, but its share alone is all 10.
    round(flow, 60);
    expect(control.windowBytes).to.equal(22_000);
    // 22 * 34 / 74 = 10.1 wait.
    round(flow, 74);
    expect(control.windowBytes).to.be.closeTo(21_000, EXACT);
  });

  it("measures its share against the others' rates", () => {
    const controls: CongestionControl[] = [];
    const fast = settled(60, 20, controls);
    const slow = settled(20, 20, controls);
    // 60 * 20 / 40 = 30 wait: too many; its rate is known, 1.5 in a millisecond.
    round(fast, 40);
    // 20 * 5 / 25 = 4 wait; the share of 0.8 in 2.3 is 3.48.
    round(slow, 25);
    expect(slow.control.windowBytes).to.equal(19_000);
  });

  it("drains the queue when that is twice as long as it has been", () => {
    const flow = settled(40, 100);
    const { control } = flow;
    // 40 * 20 / 120 = 6.7 wait, and its share is 10.
    round(flow, 120);
    expect(control.windowBytes).to.equal(41_000);
    // 41 * 35 / 135 = 10.6 wait.
    round(flow, 135);
    expect(control.windowBytes).to.equal(40_000);
    // 70 ms of queue, twice 35: of the 39 segments that are next 100 / 340 are left.
    round(flow, 170);
    expect(control.windowBytes).to.be.closeTo(39_000 / 3.4, EXACT);
  });

  it("ends slow start when more than one segment waits, with what the empty path holds and one", () => {
    const control = WEIGHTED_VEGAS.create(SEGMENT, { controls: [] });
    const flow = begin(control, 40);
    round(flow, 40);
    expect(control.windowBytes).to.equal(20_000);
    // 19 of these were in flight, and make it 39: 39 * 10 / 50 = 7.8 wait.
    round(flow, 50);
    expect(control.windowBytes).to.be.closeTo(32_200, EXACT);
    expect(control.slowStartThresholdBytes).to.be.closeTo(32_200, EXACT);
  });
});
