/**
 * How often segments that lie outside the window, or would reset the connection from a guess, are answered (RFC 5961
 * section 7). For each connection by itself: a limit that connections share would tell strangers about them.
 */

/** RFC 5961 section 7: ten in five seconds. */
export const MOST_CHALLENGES = 10;
export const CHALLENGE_PERIOD_MS = 5000;

export class ChallengeLimit {
  #periodStartMs = Number.NEGATIVE_INFINITY;
  #sent = 0;

  /** Whether one more answer may be sent; counts it. */
  take(nowMs: number): boolean {
    if (nowMs - this.#periodStartMs >= CHALLENGE_PERIOD_MS) {
      this.#periodStartMs = nowMs;
      this.#sent = 0;
    }
    if (this.#sent >= MOST_CHALLENGES) return false;
    this.#sent += 1;
    return true;
  }
}
