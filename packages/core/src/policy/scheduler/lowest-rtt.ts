/** Lowest round-trip time first: of the subflows with room the fastest one. What Linux calls its default. */
import type { SchedulableSubflow, Scheduler } from "./scheduler.ts";

export const LOWEST_RTT: Scheduler = {
  name: "lowest-rtt",
  choose<Subflow extends SchedulableSubflow>(subflows: readonly Subflow[]): Subflow | undefined {
    let best: Subflow | undefined;
    for (const subflow of subflows) {
      if (subflow.sendableBytes > 0 && (best === undefined || rttOf(subflow) < rttOf(best))) best = subflow;
    }
    return best;
  },
};

/** One that was not measured yet is tried last. */
function rttOf({ smoothedRttMs }: SchedulableSubflow): number {
  return smoothedRttMs ?? Number.POSITIVE_INFINITY;
}
