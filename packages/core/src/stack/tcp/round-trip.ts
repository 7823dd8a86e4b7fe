/**
 * Round-trip time and retransmission timeout: RFC 6298, with the shorter least timeout that is in use since (RFC 8961).
 */

/** RFC 6298 (2.1): before the first measurement. */
const FIRST_TIMEOUT_MS = 1000;
/**
 * Deviation: RFC 6298 (2.4) says 1 s. Linux uses this value; a fail-over to another subflow that waits for 1 s would be
 * seen by people. A delayed acknowledgement comes well before it.
 */
const LEAST_TIMEOUT_MS = 200;
/** RFC 6298 (2.5): not below 60 s. */
const LONGEST_TIMEOUT_MS = 60_000;
/** RFC 6298 (5.7): when the handshake's SYN was repeated and gave no measurement. */
const TIMEOUT_AFTER_LOST_SYN_MS = 3000;
/** How long a smallest value counts: routes change. */
const MINIMUM_LIFE_MS = 300_000;

export class RoundTrip {
  /** SRTT, or undefined before the first measurement. */
  smoothedMs: number | undefined;
  /** RTTVAR. */
  variationMs = 0;
  /** The smallest one of the last five to ten minutes, or undefined before the first. */
  minimumMs: number | undefined;
  #recentMinimumMs = Number.POSITIVE_INFINITY;
  #minimumSinceMs = Number.NEGATIVE_INFINITY;
  #firstTimeoutMs = FIRST_TIMEOUT_MS;
  #backOffs = 0;

  /**
   * A measurement of something that was sent once, or is known by its timestamp. `samples` is how many are expected in
   * one round trip.
   */
  onMeasured(rttMs: number, nowMs: number, samples = 1): void {
    this.#measureMinimum(rttMs, nowMs);
    if (this.smoothedMs === undefined) {
      this.smoothedMs = rttMs;
      this.variationMs = rttMs / 2;
    } else {
      // RFC 7323 appendix G: many samples in a round trip must not make the history shorter than one round trip.
      const weight = 1 / Math.max(1, samples);
      this.variationMs += (weight / 4) * (Math.abs(this.smoothedMs - rttMs) - this.variationMs);
      this.smoothedMs += (weight / 8) * (rttMs - this.smoothedMs);
    }
    this.#backOffs = 0;
  }

  #measureMinimum(rttMs: number, nowMs: number): void {
    if (nowMs - this.#minimumSinceMs > MINIMUM_LIFE_MS) {
      this.minimumMs = Math.min(rttMs, this.#recentMinimumMs);
      this.#recentMinimumMs = Number.POSITIVE_INFINITY;
      this.#minimumSinceMs = nowMs;
    }
    this.#recentMinimumMs = Math.min(this.#recentMinimumMs, rttMs);
    this.minimumMs = Math.min(this.minimumMs ?? rttMs, rttMs);
  }

  /** RTO without back-off. */
  get baseTimeoutMs(): number {
    if (this.smoothedMs === undefined) return this.#firstTimeoutMs;
    return Math.min(
      LONGEST_TIMEOUT_MS,
      Math.max(LEAST_TIMEOUT_MS, this.smoothedMs + Math.max(1, 4 * this.variationMs)),
    );
  }

  /** RTO: how long to wait for an acknowledgement. */
  get timeoutMs(): number {
    return Math.min(LONGEST_TIMEOUT_MS, this.baseTimeoutMs * 2 ** this.#backOffs);
  }

  /** Timeouts in a row without an acknowledgement of something new. */
  get backOffs(): number {
    return this.#backOffs;
  }

  /** RFC 6298 (5.5): the timer has expired. */
  backOff(): void {
    this.#backOffs += 1;
  }

  /** Something new was acknowledged: the path is alive. */
  onProgress(): void {
    this.#backOffs = 0;
  }

  /**
   * RFC 4015 section 3.4: the timer has expired too early, because the path had become slow. `rttMs` is what was measured
   * then; it counts at once, lest the next ones expire too early too.
   */
  onSpuriousTimeout(rttMs: number): void {
    this.smoothedMs = Math.max(this.smoothedMs ?? 0, rttMs);
    this.variationMs = Math.max(this.variationMs, rttMs / 2);
  }

  /** RFC 6298 (5.7): the connection is established, after its SYN was repeated. */
  onLostSyn(): void {
    this.#firstTimeoutMs = TIMEOUT_AFTER_LOST_SYN_MS;
    // The path is alive, though nothing was measured: a subflow that stayed stale would be given no data to show it.
    this.onProgress();
  }
}
