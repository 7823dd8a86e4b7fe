/** Questions to a peer that has been silent (RFC 9293 section 3.8.4). */
import type { Timers } from "./timers.ts";

/** Questions that stay without an answer until the connection is given up, one each {@link KEEPALIVE_INTERVAL_MS}. */
export const MOST_KEEPALIVES = 9;
export const KEEPALIVE_INTERVAL_MS = 75_000;

export class Keepalive {
  readonly #timers: Timers;
  readonly #idleMs: number;
  #heardMs = 0;
  #asked = 0;

  /** `idleMs`: after how long a silence the first question is asked. */
  constructor(timers: Timers, idleMs: number) {
    this.#timers = timers;
    this.#idleMs = idleMs;
  }

  /** Begins when the connection is established. */
  start(nowMs: number): void {
    this.#timers.set("keepalive", nowMs + this.#idleMs);
  }

  /** The peer has been heard of. */
  onHeard(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#asked = 0;
  }

  /** The timer "keepalive" is due: whether to ask, or to give up. */
  onTimer(nowMs: number): "wait" | "ask" | "giveUp" {
    const dueMs = this.#heardMs + this.#idleMs;
    if (nowMs < dueMs) {
      this.#timers.set("keepalive", dueMs);
      return "wait";
    }
    if (this.#asked >= MOST_KEEPALIVES) return "giveUp";
    this.#asked += 1;
    this.#timers.set("keepalive", nowMs + KEEPALIVE_INTERVAL_MS);
    return "ask";
  }
}
