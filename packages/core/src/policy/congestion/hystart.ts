/**
 * HyStart++: RFC 9406. Slow start ends when round-trip times show that a queue grows, instead of when it has
 * overflowed. Used by each congestion control in its first slow start; later ones end at the threshold that was found
 * (section 4.3). Section numbers are of that RFC.
 *
 * Deviation from section 4.2: growth is not limited to eight segments for each acknowledgement (L). Receivers that
 * coalesce segments acknowledge tens at once, and would make slow start several times slower.
 */
import type { Acknowledgement } from "./congestion.ts";

/** Section 4.3: how much longer than in the last round trip is longer, bounds and share of it. */
const LEAST_RISE_MS = 4;
const LARGEST_RISE_MS = 16;
const RISE_DIVISOR = 8;
/** N_RTT_SAMPLE. */
const ENOUGH_SAMPLES = 8;
/** CSS_GROWTH_DIVISOR, CSS_ROUNDS. */
const CONSERVATIVE_DIVISOR = 4;
const CONSERVATIVE_ROUNDS = 5;

/** What an acknowledgement tells slow start. */
export type SlowStartSample = Pick<Acknowledgement, "bytes" | "rttMs" | "acknowledgedTo" | "sentTo">;

export class HyStart {
  /** windowEnd: the round ends when this is acknowledged. */
  #roundEnd = 0;
  #lastRoundMs = Number.POSITIVE_INFINITY;
  #roundMs = Number.POSITIVE_INFINITY;
  #samples = 0;
  /** cssBaselineMinRtt, in conservative slow start. */
  #baselineMs: number | undefined;
  #conservativeRounds = 0;
  #isOver = false;

  /** The queue has grown through all of conservative slow start: what follows is congestion avoidance. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** By how many bytes the window grows. */
  growthBytes({ bytes, rttMs, acknowledgedTo, sentTo }: SlowStartSample): number {
    const growth = this.#baselineMs === undefined ? bytes : bytes / CONSERVATIVE_DIVISOR;
    if (rttMs !== undefined) this.#measure(rttMs);
    if (acknowledgedTo >= this.#roundEnd) this.#beginRound(sentTo);
    return growth;
  }

  #measure(rttMs: number): void {
    this.#roundMs = Math.min(this.#roundMs, rttMs);
    this.#samples += 1;
    if (this.#samples < ENOUGH_SAMPLES) return;
    if (this.#baselineMs === undefined) {
      const riseMs = Math.max(LEAST_RISE_MS, Math.min(this.#lastRoundMs / RISE_DIVISOR, LARGEST_RISE_MS));
      // The last round of a first one is infinitely long, and nothing is longer than that.
      if (this.#roundMs >= this.#lastRoundMs + riseMs) this.#baselineMs = this.#roundMs;
    } else if (this.#roundMs < this.#baselineMs) {
      // It was jitter: slow start goes on.
      this.#baselineMs = undefined;
      this.#conservativeRounds = 0;
    }
  }

  #beginRound(sentTo: number): void {
    this.#roundEnd = sentTo;
    this.#lastRoundMs = this.#roundMs;
    this.#roundMs = Number.POSITIVE_INFINITY;
    this.#samples = 0;
    if (this.#baselineMs === undefined) return;
    this.#conservativeRounds += 1;
    this.#isOver = this.#conservativeRounds >= CONSERVATIVE_ROUNDS;
  }
}
