/**
 * What a line carries, learnt from what it carried while it was full: its rate is the goodput that was reached while
 * packets queued before it. Pure; one for each direction of an uplink whose rate is not configured.
 *
 * A queue shows in the round-trip time, which grows by it. Rises count soon, since a line that carried more can carry
 * more; falls only after a long time of queueing at less, since a queue may stand elsewhere for a moment.
 */

/** What one direction of a line carried since the sample before. */
export interface RateSample {
  readonly durationMs: number;
  readonly bitsPerSecond: number;
  /** Round-trip time of what it carried; undefined when nothing measured one. */
  readonly rttMs: number | undefined;
  /** The least round-trip time over this line lately. */
  readonly leastRttMs: number | undefined;
}

/** Less is not worth another uplink, and short queries say nothing about the line. */
export const LEAST_RATE = 200_000;
/** A queue: the round-trip time is this much, and this share, above the least one. */
export const QUEUE_MS = 20;
export const QUEUE_SHARE = 0.5;
/** How long it must queue without interruption before a first rate, or a higher one, is believed. */
export const RISE_MS = 900;
/** The same for a lower one; the highest rate of this time counts. */
export const FALL_MS = 10_000;
/** What is within this share of what is known changes nothing. */
export const TOLERANCE = 0.1;

export class LearntRate {
  #windowMs = 0;
  #windowBits = 0;
  /** How long windows were lower than what is known, and the highest of them. */
  #lowMs = 0;
  #highestLow = 0;
  /** Bits per second; 0 as long as nothing is known. */
  bitsPerSecond = 0;

  /** Takes a sample; says whether {@link bitsPerSecond} has changed. */
  add({ durationMs, bitsPerSecond, rttMs, leastRttMs }: RateSample): boolean {
    if (!isQueueing(rttMs, leastRttMs) || bitsPerSecond < LEAST_RATE) {
      this.#lowMs = 0;
      this.#restartWindow();
      return false;
    }
    this.#windowMs += durationMs;
    this.#windowBits += (bitsPerSecond * durationMs) / 1000;
    if (this.#windowMs < RISE_MS) return false;
    return this.#judgeWindow((1000 * this.#windowBits) / this.#windowMs);
  }

  #judgeWindow(mean: number): boolean {
    const windowMs = this.#windowMs;
    this.#restartWindow();
    if (mean > (1 + TOLERANCE) * this.bitsPerSecond) return this.#settle(mean);
    if (mean >= (1 - TOLERANCE) * this.bitsPerSecond) {
      this.#lowMs = 0;
      return false;
    }
    this.#highestLow = this.#lowMs === 0 ? mean : Math.max(mean, this.#highestLow);
    this.#lowMs += windowMs;
    return this.#lowMs >= FALL_MS && this.#settle(this.#highestLow);
  }

  #settle(bitsPerSecond: number): boolean {
    this.bitsPerSecond = bitsPerSecond;
    this.#lowMs = 0;
    return true;
  }

  #restartWindow(): void {
    this.#windowMs = 0;
    this.#windowBits = 0;
  }
}

function isQueueing(rttMs: number | undefined, leastRttMs: number | undefined): boolean {
  if (rttMs === undefined || leastRttMs === undefined) return false;
  return rttMs >= leastRttMs + Math.max(QUEUE_MS, QUEUE_SHARE * leastRttMs);
}
