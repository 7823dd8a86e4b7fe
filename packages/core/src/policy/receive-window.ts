/**
 * How much a receiver offers: as much as lets the sender go on at the rate at which the application takes data, and grow.
 * Dynamic right-sizing (Fisk and Feng 2001), as Linux does it. A connection that carries little is owed little memory.
 */

/** What is offered at first: ten segments, doubled three times. */
export const INITIAL_WINDOW_BYTES = 128 * 1024;
/** Below it clocks and the scheduling of processes say more of a round than the path does. */
const LEAST_ROUND_MS = 10;
/** Twice what is taken in a round trip: half of it is on the way, and repairing a loss takes another one. */
const ROUNDS = 2;

export class ReceiveWindow {
  readonly #mostBytes: number;
  #bytes: number;
  #roundSinceMs = 0;
  #roundMs = 0;
  /** What was taken when the round began, and the most in a round; at first what the initial window is for. */
  #takenBefore = 0;
  #largestRoundBytes = INITIAL_WINDOW_BYTES / ROUNDS;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
    this.#bytes = Math.min(mostBytes, INITIAL_WINDOW_BYTES);
  }

  /** What to keep for the application at most. Never less than it was. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A round trip is over: {@link onRound} is to be called. */
  isDue(nowMs: number): boolean {
    return this.#bytes < this.#mostBytes && nowMs >= this.#roundSinceMs + this.#roundMs;
  }

  /** `takenBytes` is what the application has taken altogether; the next round takes `roundTripMs`. */
  onRound(takenBytes: number, roundTripMs: number, nowMs: number): void {
    const elapsedMs = nowMs - this.#roundSinceMs;
    const inTime = elapsedMs > 0 ? Math.min(1, this.#roundMs / elapsedMs) : 0;
    const roundBytes = (takenBytes - this.#takenBefore) * inTime;
    if (roundBytes > this.#largestRoundBytes) this.#grow(roundBytes);
    this.#roundSinceMs = nowMs;
    this.#roundMs = Math.max(LEAST_ROUND_MS, roundTripMs);
    this.#takenBefore = takenBytes;
  }

  /** A sender in slow start doubles in each round: it is to find room for the next one too. */
  #grow(roundBytes: number): void {
    const growth = Math.min(1, roundBytes / this.#largestRoundBytes - 1);
    this.#largestRoundBytes = roundBytes;
    const wanted = ROUNDS * roundBytes * (1 + growth);
    this.#bytes = Math.min(this.#mostBytes, Math.max(this.#bytes, wanted));
  }
}
