/**
 * The receiving half of a connection: what has arrived, what of it is in order, the window, and when to acknowledge.
 * Position 0 is the peer's SYN, position 1 its first byte of data.
 */
import { ByteQueue } from "../../base/byte-queue.ts";
import type { SegmentExtension } from "./extension.ts";
import { Reassembly } from "./reassembly.ts";
import type { Interval } from "./sent-queue.ts";
import type { Timers } from "./timers.ts";

/** RFC 9293 section 3.8.6.3 allows 500 ms; this is Linux's. */
export const ACKNOWLEDGEMENT_DELAY_MS = 40;
/** At the start every segment is acknowledged, so that the peer's slow start does not wait. */
const PROMPT_SEGMENTS = 16;
const LARGEST_UNSCALED_WINDOW = 0xffff;

export interface ReceiverOptions {
  /** What may be kept for the application, in and out of order. */
  readonly bufferBytes: number;
  readonly timers: Timers;
  /** Tells the window where several connections share one (RFC 8684 section 3.3.5); it replaces that of the buffer. */
  readonly extension: SegmentExtension | undefined;
}

export class Receiver {
  readonly #bufferBytes: number;
  readonly #timers: Timers;
  readonly #extension: SegmentExtension | undefined;
  /** What is out of order; undefined while nothing is. */
  #reassembly: Reassembly | undefined;
  readonly #queue = new ByteQueue(1);
  #shift = 0;
  /** The furthest edge of the window that was told: what lies before it is taken. */
  #toldEdge = 1;
  /** RCV.NXT as it was acknowledged last. */
  #acknowledged = 0;
  #finPosition: number | undefined;
  #finReached = false;
  /** Data that has come twice, to be reported once (RFC 2883). */
  #duplicate: Interval | undefined;
  #acknowledgeNow = false;
  #segmentsWaiting = 0;
  #promptLeft = PROMPT_SEGMENTS;
  #largestSegmentBytes = 536;

  constructor(options: ReceiverOptions) {
    this.#bufferBytes = options.bufferBytes;
    this.#timers = options.timers;
    this.#extension = options.extension;
  }

  /** RCV.NXT. */
  get next(): number {
    return this.#queue.end + (this.#finReached ? 1 : 0);
  }

  /** RCV.NXT + RCV.WND: what lies at or behind it is not taken. */
  get edge(): number {
    return Math.max(this.#toldEdge, this.next);
  }

  /** Bytes in order that the application has not read. */
  get readableBytes(): number {
    return this.#queue.size;
  }

  /** Position of the next byte that {@link take} gives. */
  get readPosition(): number {
    return this.#queue.start;
  }

  /** The peer's FIN has been reached: nothing follows {@link readableBytes}. */
  get finReached(): boolean {
    return this.#finReached;
  }

  /** RCV.NXT of the last segment that was sent. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  get outOfOrderBytes(): number {
    return this.#reassembly?.bytes ?? 0;
  }

  /** From the SYN on: our window is told in units of 2^shift. */
  setScale(shift: number): void {
    this.#shift = shift;
  }

  /**
   * Takes data at `position`, which the caller has found to be within the window; `fin` says that FIN follows it.
   * Returns whether something has become readable, or FIN been reached.
   */
  onData(position: number, payload: Uint8Array, fin: boolean, nowMs: number): boolean {
    const before = this.next;
    const end = position + payload.length;
    this.#largestSegmentBytes = Math.max(this.#largestSegmentBytes, Math.min(payload.length, 65_495));
    if (fin && this.#finPosition === undefined) this.#finPosition = end;
    if (end < before || (end === before && payload.length > 0 && position < before))
      this.#onDuplicate(position, Math.min(end, before));
    else if (payload.length > 0) this.#keep(position, payload);
    if (this.#finPosition === this.#queue.end) this.#finReached = true;
    this.#decide({ inOrder: position <= before, advanced: this.next > before, fin }, nowMs);
    return this.next > before;
  }

  #keep(position: number, payload: Uint8Array): void {
    const end = position + payload.length;
    if (position > this.#queue.end) {
      this.#reassembly ??= new Reassembly();
      const kept = this.#reassembly.insert(position, payload, this.#memoryBytes);
      if (kept === "duplicate") this.#duplicate = { start: position, end };
      return;
    }
    // What is in order is taken whatever memory says: only it lets go what waits behind it.
    while (this.#queue.end < end) {
      const next = this.#queue.end;
      const stop = Math.min(end, this.#reassembly?.runs[0]?.start ?? end);
      this.#queue.push(payload.subarray(next - position, stop - position));
      for (const chunk of this.#reassembly?.take(stop) ?? []) this.#queue.pushOwned(chunk);
    }
    if (this.#reassembly?.isEmpty) this.#reassembly = undefined;
  }

  /** Data out of order may take twice the window, so that small segments do not take more than that. */
  get #memoryBytes(): number {
    return 2 * (this.#extension?.windowBytes() ?? 0) + 2 * this.#bufferBytes;
  }

  #onDuplicate(start: number, end: number): void {
    if (end > start) this.#duplicate = { start, end };
    this.#acknowledgeNow = true;
  }

  /**
   * RFC 9293 section 3.8.6.3, RFC 5681 section 4.2: at once for what is out of order or fills a gap, else every second
   * segment.
   */
  #decide(outcome: { inOrder: boolean; advanced: boolean; fin: boolean }, nowMs: number): void {
    this.#segmentsWaiting += 1;
    const prompt = this.#promptLeft > 0;
    if (prompt) this.#promptLeft -= 1;
    const waiting = this.next - this.#acknowledged;
    const enough = this.#segmentsWaiting >= 2 && waiting >= 2 * this.#largestSegmentBytes - 1;
    if (!outcome.inOrder || !outcome.advanced || this.#hasGaps || outcome.fin || prompt || enough) {
      this.#acknowledgeNow = true;
    } else this.#timers.setIfIdle("delayedAcknowledgement", nowMs + ACKNOWLEDGEMENT_DELAY_MS);
  }

  /** Something is to be acknowledged at once. */
  get acknowledgementDue(): boolean {
    return this.#acknowledgeNow;
  }

  /** Asks for an acknowledgement at once. */
  acknowledgeNow(): void {
    this.#acknowledgeNow = true;
  }

  /** A segment with RCV.NXT and the window was sent. */
  onAcknowledged(): void {
    this.#acknowledged = this.next;
    this.#acknowledgeNow = false;
    this.#segmentsWaiting = 0;
    this.#duplicate = undefined;
    this.#timers.clear("delayedAcknowledgement");
  }

  /** The window field of the next segment. `scaled` is false in a SYN (RFC 7323 section 2.2). */
  takeWindow(scaled: boolean): number {
    const shift = scaled ? this.#shift : 0;
    const units = Math.min(LARGEST_UNSCALED_WINDOW, Math.floor(this.#windowBytes / 2 ** shift));
    this.#toldEdge = Math.max(this.#toldEdge, this.next + units * 2 ** shift);
    return units;
  }

  /** The window to tell: never smaller than was told before (RFC 9293 section 3.8.6), unless it is shared. */
  get #windowBytes(): number {
    const shared = this.#extension?.windowBytes();
    if (shared !== undefined) return shared;
    const told = this.#toldEdge - this.next;
    const free = Math.max(0, this.#bufferBytes - this.#queue.size);
    // RFC 9293 section 3.8.6.2.2: the edge moves by a segment or half the buffer, never by crumbs.
    return free - told >= Math.min(this.#largestSegmentBytes, this.#bufferBytes / 2) ? free : Math.max(0, told);
  }

  get #hasGaps(): boolean {
    return this.#reassembly?.isEmpty === false;
  }

  get hasBlocks(): boolean {
    return this.#duplicate !== undefined || this.#hasGaps;
  }

  /** SACK blocks for the next segment, at most `most`: a duplicate first (RFC 2883 section 4). */
  blocks(most: number): Interval[] {
    const duplicate = this.#duplicate === undefined ? [] : [this.#duplicate];
    return [...duplicate, ...(this.#reassembly?.blocks(most) ?? [])].slice(0, most);
  }

  /** Moves readable bytes into `into`; returns how many. */
  read(into: Uint8Array): number {
    const length = this.#queue.read(into);
    if (length > 0) this.#onRead();
    return length;
  }

  /** Takes at most `most` readable bytes, which nobody changes any more. */
  take(most: number): Uint8Array {
    const bytes = this.#queue.view(this.#queue.start, Math.min(most, this.#queue.size));
    this.#queue.discardTo(this.#queue.start + bytes.length);
    if (bytes.length > 0) this.#onRead();
    return bytes;
  }

  /** The window has opened by so much that the peer should hear of it. */
  #onRead(): void {
    if (this.#extension?.windowBytes() !== undefined) return;
    const told = this.#toldEdge - this.next;
    const free = this.#bufferBytes - this.#queue.size;
    if (free - told >= Math.min(2 * this.#largestSegmentBytes, this.#bufferBytes / 2)) {
      if (told < this.#bufferBytes / 2) this.#acknowledgeNow = true;
    }
  }

  /** The connection is over: drops everything but what the application may still read. */
  clear(): void {
    this.#reassembly = undefined;
    this.#acknowledgeNow = false;
    this.#timers.clear("delayedAcknowledgement");
  }

  /** Drops what the application will not read. */
  discard(): void {
    this.#queue.discardTo(this.#queue.end);
    this.#reassembly = undefined;
  }
}
