/** Every scheduler there is, by name. A new one is a file of this folder and a line here. */
import { LOWEST_RTT } from "./lowest-rtt.ts";
import { RANDOM } from "./random.ts";
import { ROUND_ROBIN } from "./round-robin.ts";
import type { SchedulerAlgorithm } from "./scheduler.ts";

export const SCHEDULERS = [LOWEST_RTT, ROUND_ROBIN, RANDOM] as const satisfies readonly SchedulerAlgorithm[];

export type SchedulerName = (typeof SCHEDULERS)[number]["name"];

/** The one that a connection has where nobody chooses. */
export const DEFAULT_SCHEDULER: SchedulerAlgorithm = LOWEST_RTT;

export function schedulerNamed(name: SchedulerName | "default"): SchedulerAlgorithm {
  return SCHEDULERS.find((each) => each.name === name) ?? DEFAULT_SCHEDULER;
}
