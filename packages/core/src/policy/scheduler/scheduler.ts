/**
 * Schedulers: which subflow carries the next bytes of a Multipath TCP connection (RFC 8041 section 3.7). One for each
 * file; schedulers.ts has the list.
 */
import type { Random } from "../../base/random.ts";

/** What a scheduler may know of a subflow. */
export interface SchedulableSubflow {
  /** Grows with the order in which the subflows of a connection were opened. */
  readonly id: number;
  readonly smoothedRttMs: number | undefined;
  /** What congestion control and the subflow's window would let go now. */
  readonly sendableBytes: number;
  /** Either side wants it used only when no other one works (RFC 8684 section 3.3.8). */
  readonly isBackup: boolean;
  /** Its retransmission timer has expired, and nothing was acknowledged since. */
  readonly isStale: boolean;
}

/** One connection's. */
export interface Scheduler {
  /**
   * The subflow that takes the next bytes, of those that may and can; undefined lets them wait. `subflows` is not
   * empty.
   */
  choose<Subflow extends SchedulableSubflow>(subflows: readonly Subflow[]): Subflow | undefined;
}

/** An algorithm: what makes one connection's scheduler. */
export interface SchedulerAlgorithm {
  readonly name: string;
  /** `makeRandom` gives a source of chance of the connection's own. */
  create(makeRandom: () => Random): Scheduler;
}

/**
 * The subflows that may carry data: the regular ones that work, else the backups that work, else those that may work
 * again.
 */
export function usableSubflows<Subflow extends SchedulableSubflow>(subflows: readonly Subflow[]): readonly Subflow[] {
  const working = subflows.filter(({ isStale }) => !isStale);
  const regular = working.filter(({ isBackup }) => !isBackup);
  if (regular.length > 0) return regular;
  return working.length > 0 ? working : subflows;
}
