/** The timers of a connection as a table of deadlines, so that its driver needs one timer only. */

/** What there is to wait for. */
export const TIMERS = [
  /** When to take what is in flight for lost (RFC 6298). */
  "retransmission",
  /** When to probe for a lost tail (RFC 8985 section 7). */
  "tailLossProbe",
  /** When reordering has had its time (RFC 8985 section 6.2). */
  "reordering",
  /** When to acknowledge what came alone (RFC 9293 section 3.8.6.3). */
  "delayedAcknowledgement",
  /** When to probe a window that is closed (RFC 9293 section 3.8.6.1). */
  "persist",
  /** When to ask a silent peer whether it is there (RFC 9293 section 3.8.4). */
  "keepalive",
  /** When to give up what is not acknowledged (RFC 9293 section 3.8.3, R2). */
  "giveUp",
  /** When a FIN-WAIT-2 without a reader, or a TIME-WAIT, ends. */
  "linger",
] as const;

export type Timer = (typeof TIMERS)[number];

export class Timers {
  readonly #deadlines = new Map<Timer, number>();

  set(timer: Timer, atMs: number): void {
    this.#deadlines.set(timer, atMs);
  }

  /** Sets the timer unless it runs already. */
  setIfIdle(timer: Timer, atMs: number): void {
    if (!this.#deadlines.has(timer)) this.#deadlines.set(timer, atMs);
  }

  clear(timer: Timer): void {
    this.#deadlines.delete(timer);
  }

  clearAll(): void {
    this.#deadlines.clear();
  }

  isSet(timer: Timer): boolean {
    return this.#deadlines.has(timer);
  }

  /** When the first one is due, or undefined. */
  get nextMs(): number | undefined {
    let next: number | undefined;
    for (const atMs of this.#deadlines.values()) if (next === undefined || atMs < next) next = atMs;
    return next;
  }

  /** Takes one that is due, whichever. */
  takeDue(nowMs: number): Timer | undefined {
    for (const [timer, atMs] of this.#deadlines) {
      if (atMs > nowMs) continue;
      this.#deadlines.delete(timer);
      return timer;
    }
    return undefined;
  }
}
