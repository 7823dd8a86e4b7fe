/** Waiting for a condition of the world outside, with a bound. */
import { setTimeout as delay } from "node:timers/promises";

const PAUSE_MS = 20;

/**
 * Repeats `check` until it neither throws nor rejects, and gives what it returned; once `withinMs` has passed, its last
 * error is thrown.
 */
export async function eventually<Result>(withinMs: number, check: () => Result | Promise<Result>): Promise<Result> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() >= deadline) throw error;
    }
    await delay(PAUSE_MS);
  }
}
