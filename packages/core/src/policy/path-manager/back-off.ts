/**
 * When to try again what has failed: exponential, with jitter, so that the connections that an outage has hit do not all
 * come back in the same moment.
 */
import type { Random } from "../../base/random.ts";

export const FIRST_RETRY_MS = 1000;
export const LONGEST_RETRY_MS = 30_000;
/** The share of a wait by which it may be shorter. */
export const RETRY_JITTER = 0.25;

/** The wait after so many failures in a row (1 or more), in milliseconds. */
export function retryDelayMs(failures: number, random: Random): number {
  const delayMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 30), LONGEST_RETRY_MS);
  return delayMs * (1 - RETRY_JITTER * random.next());
}
