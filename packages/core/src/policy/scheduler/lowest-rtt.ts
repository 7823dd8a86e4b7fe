/** Lowest round-trip time first: of the subflows with room the fastest one. What Linux calls its default. */
import type { SchedulableSubflow, Scheduler, SchedulerAlgorithm } from "./scheduler.ts";

const SCHEDULER: Scheduler = {
  choose<Subflow extends SchedulableSubflow>(subflows: readonly Subflow[]): Subflow | undefined {
    let best: Subflow | undefined;
    for (const subflow of subflows) {
      if (subflow.sendableBytes > 0 && (best === undefined || rttOf(subflow) < rttOf(best))) best = subflow;
    }
    return best;
  },
};

export const LOWEST_RTT = {
  name: "lowest-rtt",
  create: (): Scheduler => SCHEDULER,
} as const satisfies SchedulerAlgorithm;

/** One that was not measured yet is tried last. */
function rttOf({ smoothedRttMs }: SchedulableSubflow): number {
  return smoothedRttMs ?? Number.POSITIVE_INFINITY;
}
