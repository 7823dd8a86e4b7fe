/**
 * The sending half of a Multipath TCP connection: what the application has written, the connection's window, and what
 * is to be given to subflows. Position 0 is the initial data sequence number, position 1 the first byte; DATA_FIN
 * follows the last byte (RFC 8684 section 3.3).
 */
import { ByteQueue } from "../../base/byte-queue.ts";

/** Bytes to be sent again over another subflow than the one that has them. */
interface Reinjection {
  readonly start: number;
  readonly end: number;
  /** The subflow that has them, while it lives. */
  readonly from: number;
}

/**
 * Stretches that wait to be sent again. Those of one subflow are in order, and few; beyond this the data-level timer
 * repeats what is missing.
 */
export const MOST_REINJECTIONS = 4096;

const NO_REINJECTIONS: Reinjection[] = [];

/** Bytes for a subflow. */
export interface Assignment {
  readonly start: number;
  /** Nobody changes them any more. */
  readonly bytes: Uint8Array;
  readonly reinjected: boolean;
}

export class DataSender {
  readonly #bufferBytes: number;
  readonly #queue = new ByteQueue(1);
  #acknowledged = 1;
  #next = 1;
  #windowEdge = 1;
  #finished = false;
  #blocked = false;
  /** {@link NO_REINJECTIONS} while there are none. */
  #reinjections = NO_REINJECTIONS;
  #reinjectedBytes = 0;
  #relievedTo = 1;
  #largestWindowBytes = 0;

  constructor(bufferBytes: number) {
    this.#bufferBytes = bufferBytes;
  }

  /** The first position without a DATA_ACK. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** The first position that no subflow was given. */
  get next(): number {
    return this.#next;
  }

  /** Behind the last byte that was written: DATA_FIN's position once {@link isFinished}. */
  get end(): number {
    return this.#queue.end;
  }

  get isFinished(): boolean {
    return this.#finished;
  }

  /**
   * Every byte was given to a subflow, and the application has ended: DATA_FIN is to be said, until it is acknowledged.
   */
  get finDue(): boolean {
    return this.#finished && this.#next === this.end && this.#acknowledged <= this.end;
  }

  get finAcknowledged(): boolean {
    return this.#finished && this.#acknowledged > this.end;
  }

  /** Something was given to a subflow and has no DATA_ACK. */
  get isOutstanding(): boolean {
    return this.#acknowledged < this.#next || this.finDue;
  }

  get room(): number {
    return this.#finished ? 0 : Math.max(0, this.#bufferBytes - this.#queue.size);
  }

  get bufferedBytes(): number {
    return this.#queue.size;
  }

  /** New bytes that the connection's window lets go. */
  get unassignedBytes(): number {
    return Math.max(0, Math.min(this.end, this.#windowEdge) - this.#next);
  }

  /** There are bytes to send, and the peer's window is against it. */
  get isBlockedByWindow(): boolean {
    return this.end > this.#next && this.#windowEdge <= this.#next;
  }

  /**
   * Nothing new may be sent, though there is more: the peer's window is full, or our buffer. And nothing was done about
   * it yet.
   */
  get isHeldUp(): boolean {
    if (this.#acknowledged >= this.#next || this.#acknowledged < this.#relievedTo) return false;
    return this.end > this.#next ? this.isBlockedByWindow : this.#blocked && this.room === 0;
  }

  get hasReinjections(): boolean {
    return this.#reinjections.length > 0;
  }

  get largestWindowBytes(): number {
    return this.#largestWindowBytes;
  }

  /** Something is to be sent again that this subflow does not have. */
  hasReinjectionFor(to: number): boolean {
    return this.#reinjections.some(({ from }) => from !== to);
  }

  /** Bytes given to a second subflow. */
  get reinjectedBytes(): number {
    return this.#reinjectedBytes;
  }

  /** Copies as much of `bytes` as there is room for; returns how much. */
  write(bytes: Uint8Array): number {
    const length = Math.min(this.room, bytes.length);
    if (length > 0) this.#queue.push(bytes.subarray(0, length));
    this.#blocked = length < bytes.length;
    return length;
  }

  takeUnblocked(): boolean {
    const unblocked = this.#blocked && this.room > 0;
    if (unblocked) this.#blocked = false;
    return unblocked;
  }

  finish(): void {
    this.#finished = true;
  }

  /** DATA_ACK and window. What was never given to a subflow is not acknowledged: returns false for a lie. */
  onDataAck(position: number, windowBytes: number): boolean {
    if (position > (this.finDue || this.finAcknowledged ? this.end + 1 : this.#next)) return false;
    this.#windowEdge = Math.max(this.#windowEdge, position + windowBytes);
    this.#largestWindowBytes = Math.max(this.#largestWindowBytes, windowBytes);
    if (position <= this.#acknowledged) return true;
    this.#acknowledged = position;
    this.#queue.discardTo(position);
    while ((this.#reinjections[0]?.end ?? Number.POSITIVE_INFINITY) <= position) this.#reinjections.shift();
    if (!this.hasReinjections) this.#reinjections = NO_REINJECTIONS;
    return true;
  }

  /** Takes at most `most` bytes that go with a SYN, before there is a window. */
  takeForSyn(most: number): Assignment | undefined {
    const length = Math.min(most, this.#queue.size);
    if (length === 0 || this.#next !== 1) return undefined;
    this.#next = 1 + length;
    return { start: 1, bytes: this.#queue.view(1, length), reinjected: false };
  }

  /** Takes at most `most` new bytes. */
  takeNew(most: number): Assignment | undefined {
    const length = Math.min(most, this.unassignedBytes);
    if (length <= 0) return undefined;
    const start = this.#next;
    this.#next += length;
    return { start, bytes: this.#queue.view(start, length), reinjected: false };
  }

  /** Takes at most `most` bytes that are to be sent again, and that subflow `to` does not have. */
  takeReinjection(most: number, to: number): Assignment | undefined {
    for (let index = 0; index < this.#reinjections.length; index++) {
      const found = this.#reinjections[index];
      if (found === undefined || found.from === to) continue;
      const start = Math.max(found.start, this.#acknowledged);
      const end = Math.min(found.end, start + most);
      if (end < found.end) this.#reinjections[index] = { ...found, start: end };
      else this.#reinjections.splice(index--, 1);
      if (end <= start) continue;
      this.#reinjectedBytes += end - start;
      return { start, bytes: this.#queue.view(start, end - start), reinjected: true };
    }
    return undefined;
  }

  /** What subflow `from` has (-1: one that is gone) is to be sent over another one too. */
  reinject(start: number, end: number, from: number): void {
    const begin = Math.max(start, this.#acknowledged);
    if (begin >= Math.min(end, this.#next) || this.#reinjections.length >= MOST_REINJECTIONS) return;
    if (this.#reinjections.some((other) => other.start <= begin && end <= other.end && other.from === from)) return;
    const added = { start: begin, end: Math.min(end, this.#next), from };
    this.#reinjections = [...this.#reinjections, added].sort((left, right) => left.start - right.start);
  }

  /** For what holds the window up, and ends here, is done what can be. */
  relieve(end: number): void {
    this.#relievedTo = end;
  }

  /** The subflow is gone: nothing is with it any more. */
  forgetSubflow(from: number): void {
    this.#reinjections = this.#reinjections.map((one) => (one.from === from ? { ...one, from: -1 } : one));
  }

  /** Takes back everything without DATA_ACK, to be given out anew; returns where that begins. */
  rewind(): number {
    this.#next = Math.min(this.#acknowledged, this.end);
    this.#reinjections = NO_REINJECTIONS;
    return this.#next;
  }

  clear(): void {
    this.#queue.discardTo(this.#queue.end);
    this.#reinjections = NO_REINJECTIONS;
  }
}
