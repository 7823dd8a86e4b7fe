/**
 * LIA, the linked increases algorithm: RFC 6356, Coupled Congestion Control for Multipath Transport Protocols. All
 * subflows together take as much as one TCP on the best path, and on no path more than one there would.
 */
import type { CongestionAlgorithm } from "./congestion.ts";
import { type AvoidanceRule, type CoupledSubflow, RENO_RULE, RenoControl } from "./reno-control.ts";

/** Section 3, formula (2): how aggressive the whole is; 1 for one subflow alone. */
export function liaAlpha(all: readonly CoupledSubflow[]): number {
  let bestRate = 0;
  let rates = 0;
  for (const { settledWindowBytes, rttMs } of all) {
    bestRate = Math.max(bestRate, settledWindowBytes / rttMs ** 2);
    rates += settledWindowBytes / rttMs;
  }
  return (totalWindowBytes(all) * bestRate) / rates ** 2;
}

function totalWindowBytes(all: readonly CoupledSubflow[]): number {
  return all.reduce((sum, { settledWindowBytes }) => sum + settledWindowBytes, 0);
}

/** Section 3: slow start, and what a loss does, are those of RFC 5681. */
export const LIA_RULE: AvoidanceRule = {
  ...RENO_RULE,
  /** Formula (1). */
  growth(own, all) {
    const alone = RENO_RULE.growth(own, all);
    if (all.length === 1) return alone;
    return Math.min((liaAlpha(all) * own.segmentBytes) / totalWindowBytes(all), alone);
  },
};

export const LIA: CongestionAlgorithm = {
  name: "lia",
  create: (segmentBytes, group) => new RenoControl(segmentBytes, LIA_RULE, group),
};
