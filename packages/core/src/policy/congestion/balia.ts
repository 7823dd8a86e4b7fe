/**
 * BALIA, balanced linked adaptation: draft-walid-mptcp-congestion-control-04. Both increase and decrease are linked;
 * between LIA's friendliness and OLIA's.
 */
import type { CongestionAlgorithm } from "./congestion.ts";
import { type AvoidanceRule, type CoupledSubflow, RENO_RULE, RenoControl } from "./reno-control.ts";

/** The most that a loss takes away, as a multiple of half the window. */
const LARGEST_DECREASE = 1.5;

/** x_r: bytes in a millisecond. */
function rateOf({ settledWindowBytes, rttMs }: CoupledSubflow): number {
  return settledWindowBytes / rttMs;
}

/** alpha_r: how many times faster than this one the fastest subflow is. */
export function baliaAlpha(own: CoupledSubflow, all: readonly CoupledSubflow[]): number {
  return Math.max(...all.map(rateOf)) / rateOf(own);
}

export const BALIA_RULE: AvoidanceRule = {
  growth(own, all) {
    if (all.length === 1) return RENO_RULE.growth(own, all);
    const alpha = baliaAlpha(own, all);
    const rates = all.reduce((sum, path) => sum + rateOf(path), 0);
    const linked = rateOf(own) / own.rttMs / rates ** 2;
    return own.segmentBytes * linked * ((1 + alpha) / 2) * ((4 + alpha) / 5);
  },
  reduction(own, all) {
    return all.length === 1 ? RENO_RULE.reduction(own, all) : 0.5 * Math.min(baliaAlpha(own, all), LARGEST_DECREASE);
  },
  leastCoupledSegments: 1,
};

export const BALIA: CongestionAlgorithm = {
  name: "balia",
  create: (segmentBytes, group) => new RenoControl(segmentBytes, BALIA_RULE, group),
};
