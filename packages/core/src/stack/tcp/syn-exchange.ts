/** The sending of our SYN, or SYN-ACK, until it is answered (RFC 6298 section 5, RFC 9293 section 3.8.3). */
import type { RoundTrip } from "./round-trip.ts";
import type { AcceptOptions, OpenOptions } from "./settings.ts";
import type { Timers } from "./timers.ts";

export class SynExchange {
  /** What the application wants of it. */
  readonly wanted: OpenOptions & AcceptOptions;
  readonly #timers: Timers;
  readonly #roundTrip: RoundTrip;
  readonly #giveUpMs: number;
  #attempts = 0;
  #sentMs = 0;
  #due = false;

  constructor(wanted: OpenOptions & AcceptOptions, timers: Timers, roundTrip: RoundTrip, giveUpMs: number) {
    this.wanted = wanted;
    this.#timers = timers;
    this.#roundTrip = roundTrip;
    this.#giveUpMs = giveUpMs;
  }

  /** A SYN is to be sent. */
  get isDue(): boolean {
    return this.#due;
  }

  /** The first SYN, or the timer "retransmission" is due. */
  start(nowMs: number): void {
    if (this.#attempts > 0) this.#roundTrip.backOff();
    else this.#timers.set("giveUp", nowMs + this.#giveUpMs);
    this.#timers.set("retransmission", nowMs + this.#roundTrip.timeoutMs);
    this.#sentMs = nowMs;
    this.#attempts += 1;
    this.#due = true;
  }

  /** The peer shows that it has missed our answer. */
  repeat(): void {
    this.#due = this.#attempts > 0;
  }

  /** Takes the SYN that is due; returns whether it is the first one. */
  take(): boolean {
    this.#due = false;
    return this.#attempts === 1;
  }

  /** The peer has answered. */
  onAnswered(nowMs: number): void {
    if (this.#attempts === 1) this.#roundTrip.onMeasured(nowMs - this.#sentMs, nowMs);
    else if (this.#attempts > 1) this.#roundTrip.onLostSyn();
    this.#timers.clear("retransmission");
    this.#timers.clear("giveUp");
  }
}
