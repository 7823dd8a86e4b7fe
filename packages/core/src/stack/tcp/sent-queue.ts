/**
 * What was sent and is not acknowledged cumulatively: RFC 6675's scoreboard, as the ranges that transmissions carried.
 * Ranges are without gaps, in the stream's order; one is split where an acknowledgement or a repetition covers part of
 * it.
 */
import type { SentRange } from "../../policy/recovery/recovery.ts";

/** Positions; `end` is exclusive. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** A {@link SentRange} of this queue, whose fields this queue changes. */
export interface SentEntry extends SentRange {
  sentMs: number;
  transmissions: number;
  delivered: boolean;
  lost: boolean;
}

/**
 * Ranges that acknowledgements may split what is in flight into, and beyond which nothing new is sent: a peer that
 * acknowledges byte by byte, or an application that writes so, must not fill memory with them.
 */
export const MOST_RANGES = 16_384;
/** Dropped entries are cut from the array when there are this many. */
const DROPPED_ENTRIES = 64;

const NO_RANGES: SentEntry[] = [];

export class SentQueue {
  /** {@link NO_RANGES} while there are none. */
  #ranges = NO_RANGES;
  #head = 0;
  #inFlightBytes = 0;
  #deliveredBytes = 0;
  #lostBytes = 0;

  /** Bytes on the path: neither delivered nor taken for lost (RFC 6675 pipe). */
  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** Bytes selectively acknowledged. */
  get deliveredBytes(): number {
    return this.#deliveredBytes;
  }

  /** Bytes taken for lost and not sent again. */
  get lostBytes(): number {
    return this.#lostBytes;
  }

  /** Bytes not acknowledged cumulatively (RFC 5681 FlightSize). */
  get outstandingBytes(): number {
    return this.#inFlightBytes + this.#deliveredBytes + this.#lostBytes;
  }

  get isEmpty(): boolean {
    return this.#head === this.#ranges.length;
  }

  get count(): number {
    return this.#ranges.length - this.#head;
  }

  get first(): SentEntry | undefined {
    return this.#ranges[this.#head];
  }

  get last(): SentEntry | undefined {
    return this.isEmpty ? undefined : this.#ranges.at(-1);
  }

  *[Symbol.iterator](): Iterator<SentEntry> {
    for (let index = this.#head; index < this.#ranges.length; index++) {
      const range = this.#ranges[index];
      if (range !== undefined) yield range;
    }
  }

  /** Something was sent for the first time: it follows what is there. */
  push(start: number, end: number, nowMs: number): void {
    const range = { start, end, sentMs: nowMs, transmissions: 1, delivered: false, lost: false };
    if (this.#ranges === NO_RANGES) this.#ranges = [range];
    else this.#ranges.push(range);
    this.#inFlightBytes += end - start;
  }

  /** Everything before `position` is acknowledged. Returns what was not known to be delivered before. */
  acknowledge(position: number): SentEntry[] {
    const delivered: SentEntry[] = [];
    for (let range = this.first; range !== undefined && range.start < position; range = this.first) {
      if (range.end > position) this.#split(this.#head, position);
      const done = this.first;
      if (done === undefined) break;
      if (!done.delivered) delivered.push(done);
      this.#count(done, -1);
      this.#dropFirst();
    }
    return delivered;
  }

  /** Marks what `blocks` acknowledge selectively; returns what is new, in the stream's order. */
  markDelivered(blocks: readonly Interval[]): SentEntry[] {
    const delivered: SentEntry[] = [];
    for (const block of blocks) this.#markBlock(block, delivered);
    return delivered.sort((left, right) => left.start - right.start);
  }

  #markBlock({ start, end }: Interval, delivered: SentEntry[]): void {
    const last = this.last;
    if (last === undefined || end > last.end) return;
    for (let index = this.#indexOf(start); index < this.#ranges.length; index++) {
      const range = this.#ranges[index];
      if (range === undefined || range.start >= end) return;
      if (range.delivered || range.end <= start) continue;
      const splits = range.start < start || range.end > end;
      if (splits && this.count >= MOST_RANGES) continue;
      if (range.start < start) {
        this.#split(index, start);
        continue;
      }
      if (range.end > end) this.#split(index, end);
      const part = this.#ranges[index];
      if (part === undefined) return;
      this.#count(part, -1);
      part.delivered = true;
      part.lost = false;
      this.#count(part, 1);
      delivered.push(part);
    }
  }

  /** `range` is taken for lost. */
  markLost(range: SentEntry): void {
    this.#count(range, -1);
    range.lost = true;
    this.#count(range, 1);
  }

  /** The first lost range, cut to at most `most` bytes; undefined when nothing is lost. */
  firstLost(most: number): SentEntry | undefined {
    if (this.#lostBytes === 0) return undefined;
    for (let index = this.#head; index < this.#ranges.length; index++) {
      const range = this.#ranges[index];
      if (range?.lost) return this.#cut(index, most);
    }
    return undefined;
  }

  /** The last range's last `most` bytes, as a range of their own. */
  tail(most: number): SentEntry | undefined {
    const last = this.last;
    if (last === undefined) return undefined;
    if (last.end - last.start > most) this.#split(this.#ranges.length - 1, last.end - most);
    return this.last;
  }

  /** The first range, cut to at most `most` bytes. */
  head(most: number): SentEntry | undefined {
    return this.isEmpty ? undefined : this.#cut(this.#head, most);
  }

  #cut(index: number, most: number): SentEntry | undefined {
    const range = this.#ranges[index];
    if (range !== undefined && range.end - range.start > most) this.#split(index, range.start + most);
    return this.#ranges[index];
  }

  /** `range` was sent again. */
  markRepeated(range: SentEntry, nowMs: number): void {
    this.#count(range, -1);
    range.lost = false;
    range.sentMs = nowMs;
    range.transmissions += 1;
    this.#count(range, 1);
  }

  /** Nothing is lost: what was taken for it is on the path, and not to be sent again. */
  forgetLost(): void {
    for (const range of this) range.lost = false;
    this.#recount();
  }

  /**
   * The receiver may drop what it acknowledged selectively (RFC 2018 section 8): after a timeout nothing of it counts.
   */
  forgetDelivered(): void {
    for (const range of this) range.delivered = false;
    this.#recount();
  }

  #recount(): void {
    this.#inFlightBytes = 0;
    this.#deliveredBytes = 0;
    this.#lostBytes = 0;
    for (let index = this.#head; index < this.#ranges.length; index++) {
      const range = this.#ranges[index];
      if (range !== undefined) this.#count(range, 1);
    }
  }

  #count({ start, end, delivered, lost }: SentEntry, sign: 1 | -1): void {
    const bytes = sign * (end - start);
    if (delivered) this.#deliveredBytes += bytes;
    else if (lost) this.#lostBytes += bytes;
    else this.#inFlightBytes += bytes;
  }

  #split(index: number, position: number): void {
    const range = this.#ranges[index];
    if (range === undefined || position <= range.start || position >= range.end) return;
    this.#ranges.splice(index, 1, { ...range, end: position }, { ...range, start: position });
  }

  #dropFirst(): void {
    this.#head += 1;
    if (this.#head === this.#ranges.length) {
      this.#ranges = NO_RANGES;
      this.#head = 0;
    } else if (this.#head >= DROPPED_ENTRIES) {
      this.#ranges.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** The range that has `position`, or the first one when it lies before all. */
  #indexOf(position: number): number {
    let low = this.#head;
    let high = this.#ranges.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#ranges[middle]?.start ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
