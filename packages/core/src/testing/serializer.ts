/** How fast a link sends: at a constant rate, or when a trace of a real link says so. */

/** Packets leave in their order. Times never go back. */
export interface Serializer {
  /** What has been given and has not left by `nowMs`. */
  waitingBytes(nowMs: number): number;
  /** When the last byte of a packet that is given now leaves. */
  send(nowMs: number, bytes: number): number;
}

/** A constant rate, which may be changed for what is given from then on. */
export class RateSerializer implements Serializer {
  rateBitsPerSecond = Number.POSITIVE_INFINITY;
  #freeAtMs = 0;

  waitingBytes(nowMs: number): number {
    const waitingMs = this.#freeAtMs - nowMs;
    return waitingMs <= 0 ? 0 : (waitingMs * this.rateBitsPerSecond) / 8000;
  }

  send(nowMs: number, bytes: number): number {
    this.#freeAtMs = Math.max(nowMs, this.#freeAtMs) + (bytes * 8000) / this.rateBitsPerSecond;
    return this.#freeAtMs;
  }
}

/** What one opportunity of a trace carries: a packet of the usual size. */
export const OPPORTUNITY_BYTES = 1500;

/**
 * A packet-delivery trace, as Mahimahi's link shell reads them: at each of these times (ms, ascending, the last one above
 * zero) {@link OPPORTUNITY_BYTES} may leave, and what nobody uses is gone. Behind its last time the trace begins again.
 */
export type DeliveryTrace = readonly number[];

export class TraceSerializer implements Serializer {
  readonly trace: DeliveryTrace;
  readonly #periodMs: number;
  /** The opportunity in use: its place among all, over every turn of the trace. */
  #place = -1;
  #leftBytes = 0;
  #waiting: { readonly leavesAtMs: number; readonly bytes: number }[] = [];

  /** Throws a RangeError for a trace with which no time would pass. */
  constructor(trace: DeliveryTrace) {
    const last = trace.at(-1) ?? 0;
    const ascends = trace.every((time, index) => time >= (trace[index - 1] ?? 0));
    if (last <= 0 || !ascends) throw new RangeError("a delivery trace has ascending times, the last one above zero");
    this.trace = trace;
    this.#periodMs = last;
  }

  waitingBytes(nowMs: number): number {
    this.#waiting = this.#waiting.filter(({ leavesAtMs }) => leavesAtMs > nowMs);
    return this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  send(nowMs: number, bytes: number): number {
    if (this.#timeOf(this.#place) < nowMs) this.#use(this.#firstFrom(nowMs));
    let rest = bytes;
    while (rest > this.#leftBytes) {
      rest -= this.#leftBytes;
      this.#use(this.#place + 1);
    }
    this.#leftBytes -= rest;
    const leavesAtMs = this.#timeOf(this.#place);
    this.#waiting.push({ leavesAtMs, bytes });
    return leavesAtMs;
  }

  #use(place: number): void {
    this.#place = place;
    this.#leftBytes = OPPORTUNITY_BYTES;
  }

  #timeOf(place: number): number {
    if (place < 0) return Number.NEGATIVE_INFINITY;
    const turn = Math.floor(place / this.trace.length);
    return turn * this.#periodMs + (this.trace[place % this.trace.length] ?? 0);
  }

  /** The first opportunity at `nowMs` or later. */
  #firstFrom(nowMs: number): number {
    const turn = Math.floor(nowMs / this.#periodMs);
    const within = nowMs - turn * this.#periodMs;
    const index = this.trace.findIndex((time) => time >= within);
    return turn * this.trace.length + (index === -1 ? this.trace.length : index);
  }
}
