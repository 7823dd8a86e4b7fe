/**
 * Whether a gateway is used, with hysteresis. Pure.
 *
 * The first answer after an outage brings a gateway back at once. One that fails again soon after must answer without a
 * failure for a time that doubles with each such return, so that a flapping one does not cost a failed connection each
 * time. Load has two thresholds for the same reason.
 */

/** One that has been used for this long since its last return is forgiven. */
const CALM_MS = 60_000;
const FIRST_TRIAL_MS = 2000;
const LONGEST_TRIAL_MS = 64_000;
/** Load in percent: from the first on a gateway is busy, up to the second it is not busy any more. */
const BUSY_PERCENT = 90;
const FREE_PERCENT = 70;

export class GatewayStanding {
  #up: boolean;
  #busy = false;
  #load: number | undefined;
  #returnedMs = Number.NEGATIVE_INFINITY;
  #trialMs = 0;
  /** Since when every question was answered. */
  #goodSinceMs: number | undefined;

  constructor(up: boolean) {
    this.#up = up;
  }

  get up(): boolean {
    return this.#up;
  }

  /** Answers, and has asked to be left alone: used when no other gateway is left. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Percent of its capacity in use; undefined while it has not said. */
  get load(): number | undefined {
    return this.#load;
  }

  /** How long it must answer before it is used again; 0: one answer is enough. */
  get trialMs(): number {
    return this.#trialMs;
  }

  /** It did not serve a connection, or did not answer a question. */
  onFailure(nowMs: number): void {
    this.#goodSinceMs = undefined;
    if (!this.#up) return;
    this.#up = false;
    const calm = nowMs - this.#returnedMs >= CALM_MS;
    this.#trialMs = calm ? 0 : Math.min(LONGEST_TRIAL_MS, Math.max(FIRST_TRIAL_MS, 2 * this.#trialMs));
  }

  /** It answered a question, and said its load or not. */
  onAnswer(load: number | undefined, nowMs: number): void {
    if (load !== undefined) this.#onLoad(load);
    if (this.#up) return;
    this.#goodSinceMs ??= nowMs;
    if (nowMs - this.#goodSinceMs < this.#trialMs) return;
    this.#up = true;
    this.#returnedMs = nowMs;
  }

  #onLoad(load: number): void {
    this.#load = load;
    if (load >= BUSY_PERCENT) this.#busy = true;
    else if (load <= FREE_PERCENT) this.#busy = false;
  }
}
