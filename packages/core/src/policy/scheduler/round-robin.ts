/**
 * Round-robin: one segment on each subflow after the other, those without room left out, so that every congestion window
 * is filled (Paasch, Ferlin, Alay and Bonaventure, "Experimental Evaluation of Multipath TCP Schedulers", CSWS 2014).
 */
import type { SchedulableSubflow, Scheduler, SchedulerAlgorithm } from "./scheduler.ts";

class RoundRobin implements Scheduler {
  /** The one that had the last turn. */
  #lastId = -1;

  choose<Subflow extends SchedulableSubflow>(subflows: readonly Subflow[]): Subflow | undefined {
    let first: Subflow | undefined;
    let next: Subflow | undefined;
    for (const subflow of subflows) {
      if (subflow.sendableBytes <= 0) continue;
      if (first === undefined || subflow.id < first.id) first = subflow;
      if (subflow.id > this.#lastId && (next === undefined || subflow.id < next.id)) next = subflow;
    }
    const chosen = next ?? first;
    if (chosen !== undefined) this.#lastId = chosen.id;
    return chosen;
  }
}

export const ROUND_ROBIN = {
  name: "round-robin",
  create: (): Scheduler => new RoundRobin(),
} as const satisfies SchedulerAlgorithm;
