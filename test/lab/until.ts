/** Waiting for conditions, with a bound. */
import { setTimeout as sleep } from "node:timers/promises";

export interface UntilOptions {
  /** What is waited for, for the error message. */
  readonly what: string;
  readonly limitMs: number;
  readonly everyMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Asks until the answer is neither undefined nor false, and gives it. Throws when the limit has passed. */
export async function until<Answer>(
  ask: () => Answer | Promise<Answer>,
  { what, limitMs, everyMs = 20, signal }: UntilOptions,
): Promise<NonNullable<Answer>> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    signal?.throwIfAborted();
    if (performance.now() > endMs) throw new Error(`${what}: not within ${limitMs / 1000} s`);
    await sleep(everyMs);
  }
}
