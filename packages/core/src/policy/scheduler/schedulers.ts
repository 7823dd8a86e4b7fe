/** Every scheduler there is, by name. A new one is a file of this folder and a line here. */
import { LOWEST_RTT } from "./lowest-rtt.ts";
import type { Scheduler } from "./scheduler.ts";

export const SCHEDULERS: readonly Scheduler[] = [LOWEST_RTT];
