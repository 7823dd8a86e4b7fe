/**
 * OLIA, the opportunistic linked increases algorithm: draft-khalili-mptcp-congestion-control-05, and "MPTCP is not
 * Pareto-optimal" (CoNEXT 2012). As LIA, but with a second term that moves windows toward the paths that are best and
 * whose windows are not the largest, so that little is sent where it only takes from others.
 *
 * A path is the better, the more a TCP would get there by its loss and round-trip time: by l / rtt^2, as in Linux. For
 * windows to be equally large, whole segments are compared, which is what the windows of Linux are.
 */
import type { CongestionAlgorithm } from "./congestion.ts";
import { type AvoidanceRule, type CoupledSubflow, RENO_RULE, RenoControl } from "./reno-control.ts";

/**
 * alpha_r: what `own` gets of the second term. Those of the best paths whose windows are not the largest share 1/n, those
 * whose windows are the largest give it; nobody does where all best paths have the largest window.
 */
export function oliaAlpha(own: CoupledSubflow, all: readonly CoupledSubflow[]): number {
  const best = argumentsOfMaximum(all, ({ lossIntervalBytes, rttMs }) => lossIntervalBytes / rttMs ** 2);
  const largest = argumentsOfMaximum(all, (path) => Math.floor(path.settledWindowBytes / path.segmentBytes));
  const collected = best.filter((path) => !largest.includes(path));
  if (collected.length === 0) return 0;
  if (collected.includes(own)) return 1 / (all.length * collected.length);
  return largest.includes(own) ? -1 / (all.length * largest.length) : 0;
}

function argumentsOfMaximum<Item>(items: readonly Item[], of: (item: Item) => number): readonly Item[] {
  const most = Math.max(...items.map(of));
  return items.filter((item) => of(item) === most);
}

export const OLIA_RULE: AvoidanceRule = {
  ...RENO_RULE,
  growth(own, all) {
    if (all.length === 1) return RENO_RULE.growth(own, all);
    const { settledWindowBytes, rttMs, segmentBytes } = own;
    const rates = all.reduce((sum, path) => sum + path.settledWindowBytes / path.rttMs, 0);
    const linked = settledWindowBytes / rttMs ** 2 / rates ** 2;
    return segmentBytes * (linked + oliaAlpha(own, all) / settledWindowBytes);
  },
  leastCoupledSegments: 1,
};

export const OLIA: CongestionAlgorithm = {
  name: "olia",
  create: (segmentBytes, group) => new RenoControl(segmentBytes, OLIA_RULE, group),
};
