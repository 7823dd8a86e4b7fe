/**
 * The sending half of a connection: what the application has written, the peer's window, and which bytes go next (RFC
 * 9293 section 3.8). Position 0 is our SYN, position 1 the first byte of data; our FIN follows the last byte. Small
 * segments are not delayed (no Nagle algorithm).
 */
import { ByteQueue } from "../../base/byte-queue.ts";
import type { SegmentExtension } from "./extension.ts";
import type { AcknowledgementReceived, AgreedTransport, LossRecovery } from "./loss-recovery.ts";
import type { RoundTrip } from "./round-trip.ts";
import { MOST_RANGES, type SentEntry } from "./sent-queue.ts";
import type { Timers } from "./timers.ts";

/** What to put into the next segment. */
export interface Transmission {
  readonly start: number;
  /** Behind the last byte of data, and behind FIN where it is among it. */
  readonly end: number;
  readonly payload: Uint8Array;
  readonly fin: boolean;
  /** Nothing follows it for now. */
  readonly push: boolean;
  readonly repetition: boolean;
}

/**
 * The window as a segment says it, scaled; positions are in our stream (`acknowledgement`) and in the peer's
 * (`sequence`).
 */
export interface WindowUpdate {
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly windowBytes: number;
}

export interface SenderOptions {
  readonly recovery: LossRecovery;
  readonly roundTrip: RoundTrip;
  readonly timers: Timers;
  readonly segmentBytes: number;
  /** What the application may write before something of it is acknowledged. */
  readonly bufferBytes: number;
  /** The largest payload of one segment, where the device below cuts it into segments of `segmentBytes`. */
  readonly bulkBytes: number;
  /** Says where a segment must end: what one mapping covers. */
  readonly extension: SegmentExtension | undefined;
}

/** RFC 9293 section 3.8.6.1: the longest time between two probes of a closed window. */
const LONGEST_PERSIST_MS = 60_000;

export class Sender {
  readonly recovery: LossRecovery;
  readonly #roundTrip: RoundTrip;
  readonly #timers: Timers;
  readonly #bufferBytes: number;
  readonly #bulkBytes: number;
  readonly #extension: SegmentExtension | undefined;
  readonly #queue = new ByteQueue(1);
  #segmentBytes: number;
  /** SND.UNA and SND.NXT. */
  #acknowledged = 1;
  #next = 1;
  /** SND.UNA + SND.WND, the largest window so far, SND.WL1 and SND.WL2. */
  #windowEdge = 1;
  #largestWindowBytes = 0;
  #windowSequence = -1;
  #windowAcknowledgement = -1;
  #finished = false;
  #persistProbes = 0;
  /** Less was taken than there was to write. */
  #blocked = false;

  constructor(options: SenderOptions) {
    this.recovery = options.recovery;
    this.#roundTrip = options.roundTrip;
    this.#timers = options.timers;
    this.#bufferBytes = options.bufferBytes;
    this.#bulkBytes = options.bulkBytes;
    this.#extension = options.extension;
    this.#segmentBytes = options.segmentBytes;
  }

  /** SND.UNA: the first position that is not acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** SND.NXT: the first position that was never sent. */
  get next(): number {
    return this.#next;
  }

  /** Behind the last byte that was written. */
  get end(): number {
    return this.#queue.end;
  }

  /** The payload of a full segment. */
  get segmentBytes(): number {
    return this.#segmentBytes;
  }

  /** Bytes written and not acknowledged. */
  get bufferedBytes(): number {
    return this.#queue.size;
  }

  get largestWindowBytes(): number {
    return this.#largestWindowBytes;
  }

  /** Bytes that may still be written. */
  get room(): number {
    return this.#finished ? 0 : Math.max(0, this.#bufferBytes - this.#queue.size);
  }

  get unsentBytes(): number {
    return this.#queue.end - Math.min(this.#next, this.#queue.end);
  }

  /**
   * Bytes that window and congestion control would let go now, beyond what is written already. No more than the buffer
   * takes: a peer that acknowledges data of the connection and nothing of the subflow would have it kept without end.
   */
  get sendableBytes(): number {
    const allowed = Math.min(
      this.#windowEdge - this.#next,
      this.recovery.allowanceBytes - this.recovery.sent.lostBytes,
    );
    return Math.max(0, Math.min(allowed - this.unsentBytes, this.#bufferBytes - this.#queue.size));
  }

  get windowEdge(): number {
    return this.#windowEdge;
  }

  get finished(): boolean {
    return this.#finished;
  }

  get finAcknowledged(): boolean {
    return this.#finished && this.#acknowledged > this.#queue.end;
  }

  /** The handshake is over. */
  begin(agreed: AgreedTransport): void {
    this.#segmentBytes = agreed.segmentBytes;
    this.recovery.begin(agreed);
  }

  setSegmentBytes(segmentBytes: number): void {
    this.#segmentBytes = segmentBytes;
    this.recovery.setSegmentBytes(segmentBytes);
  }

  /** Copies as much of `bytes` as there is room for; returns how much. */
  write(bytes: Uint8Array): number {
    const length = Math.min(this.room, bytes.length);
    if (length > 0) this.#queue.push(bytes.subarray(0, length));
    this.#blocked = length < bytes.length;
    return length;
  }

  /** Whether there is room again after {@link write} took less than there was; says so once. */
  takeUnblocked(): boolean {
    const unblocked = this.#blocked && this.room > 0;
    if (unblocked) this.#blocked = false;
    return unblocked;
  }

  /** Takes `bytes` themselves, all of them: the caller has looked for room, and changes them no more. */
  writeOwned(bytes: Uint8Array): void {
    this.#queue.pushOwned(bytes);
  }

  /** Nothing more will be written: FIN follows. */
  finish(): void {
    this.#finished = true;
  }

  /** The first `most` bytes, sent with the SYN (RFC 7413). */
  takeForSyn(most: number, nowMs: number): Uint8Array {
    const length = Math.min(most, this.unsentBytes);
    const payload = this.#queue.view(1, length);
    if (length > 0 && this.#next === 1) {
      this.recovery.onSentNew(1, 1 + length, nowMs);
      this.#next = 1 + length;
    }
    return payload;
  }

  /** The peer has acknowledged the SYN and not, or not all of, the data in it: it is to be sent again. */
  onSynDataIgnored(): void {
    this.#sendAgain();
  }

  /**
   * What is in flight was too large for the path, which is no sign of congestion: it is to be sent again, in smaller
   * segments.
   */
  onTooBig(): void {
    this.#sendAgain();
  }

  #sendAgain(): void {
    for (const range of this.recovery.sent) if (!range.lost && !range.delivered) this.recovery.sent.markLost(range);
  }

  /** RFC 9293 section 3.10.7.4: the window, unless the segment is older than the one that told it last. */
  updateWindow({ sequence, acknowledgement, windowBytes }: WindowUpdate): void {
    const newer =
      this.#windowSequence < sequence ||
      (this.#windowSequence === sequence && this.#windowAcknowledgement <= acknowledgement);
    if (!newer) return;
    this.#windowSequence = sequence;
    this.#windowAcknowledgement = acknowledgement;
    this.#windowEdge = acknowledgement + windowBytes;
    this.#largestWindowBytes = Math.max(this.#largestWindowBytes, windowBytes);
    if (this.#windowEdge > this.#next) this.#stopPersisting();
  }

  /**
   * Takes an acknowledgement that the caller has found acceptable. Returns how many bytes of data it acknowledges for
   * the first time.
   */
  onAcknowledgement(ack: AcknowledgementReceived, nowMs: number): number {
    this.recovery.onAcknowledgement(ack, nowMs);
    // The peer is alive, even where its window stays closed (RFC 9293 section 3.8.6.1).
    if (this.#timers.isSet("persist")) this.#timers.clear("giveUp");
    const before = Math.min(this.#acknowledged, this.#queue.end);
    this.#acknowledged = Math.max(this.#acknowledged, ack.position);
    this.#queue.discardTo(this.#acknowledged);
    return Math.min(this.#acknowledged, this.#queue.end) - before;
  }

  /** Takes what goes next, which counts as sent at `nowMs`; undefined when nothing may go. */
  nextTransmission(nowMs: number): Transmission | undefined {
    this.recovery.beforeSending(nowMs);
    if (this.recovery.probeDue)
      return this.#sendNew(nowMs, true) ?? this.#repeat(this.recovery.sent.tail(this.#segmentBytes), nowMs);
    if (this.recovery.forwardSegments > 0) {
      const forward = this.#sendNew(nowMs, true);
      if (forward !== undefined) return forward;
      this.recovery.onNothingToForward();
    }
    if (this.recovery.holdsRepetitions) return undefined;
    const repetition = this.#repeatLost(nowMs);
    if (repetition !== undefined) return repetition;
    // What is lost goes first: new data would only take its room.
    return this.recovery.sent.lostBytes > 0 ? undefined : this.#sendNew(nowMs, false);
  }

  #repeatLost(nowMs: number): Transmission | undefined {
    const { sent, allowanceBytes } = this.recovery;
    if (sent.lostBytes === 0) return undefined;
    const bulk = Math.max(
      this.#segmentBytes,
      wholeSegments(Math.min(allowanceBytes, this.#bulkBytes), this.#segmentBytes),
    );
    const range = sent.firstLost(bulk);
    if (range === undefined) return undefined;
    const fits = range.end - range.start <= allowanceBytes || sent.inFlightBytes === 0;
    return fits ? this.#repeat(range, nowMs) : undefined;
  }

  #repeat(range: SentEntry | undefined, nowMs: number): Transmission | undefined {
    if (range === undefined) return undefined;
    this.recovery.onRepeated(range, nowMs);
    return this.#transmission(range.start, range.end, true);
  }

  #sendNew(nowMs: number, probe: boolean): Transmission | undefined {
    const { end } = this.#queue;
    const last = this.#finished ? end + 1 : end;
    if (this.#next >= last || this.recovery.sent.count >= MOST_RANGES) return undefined;
    const length = this.#newLength(last, probe);
    if (length === 0) return this.#persist(nowMs);
    const start = this.#next;
    const dataEnd = Math.min(start + length, end);
    const cut = dataEnd > start ? (this.#extension?.boundary(start, dataEnd) ?? dataEnd) : dataEnd;
    const stop = cut === end && start + length > end ? start + length : cut;
    this.#next = stop;
    this.recovery.onSentNew(start, stop, nowMs);
    return this.#transmission(start, stop, false);
  }

  /** How long the next segment of new data may be, 0 when there may be none. */
  #newLength(last: number, probe: boolean): number {
    const wanted = last - this.#next;
    const window = Math.max(0, this.#windowEdge - this.#next);
    const allowance = probe ? this.#segmentBytes : this.recovery.allowanceBytes;
    const inFlight = this.recovery.sent.inFlightBytes;
    const most =
      probe || this.#bulkBytes <= this.#segmentBytes
        ? this.#segmentBytes
        : wholeSegments(Math.min(this.#bulkBytes, allowance), this.#segmentBytes);
    const length = Math.min(wanted, window, Math.max(most, this.#segmentBytes));
    if (length === 0) return 0;
    if (length > allowance && inFlight > 0) {
      this.recovery.onWindowLimited();
      return 0;
    }
    // RFC 9293 section 3.8.6.2.1: no small segment only because the window is small, unless nothing else would move it.
    const silly = length < wanted && length < this.#segmentBytes && length < this.#largestWindowBytes / 2;
    return silly && inFlight > 0 ? 0 : length;
  }

  #transmission(start: number, end: number, repetition: boolean): Transmission {
    const dataEnd = Math.min(end, this.#queue.end);
    const payload = this.#queue.view(start, Math.max(0, dataEnd - start));
    return { start, end, payload, fin: end > this.#queue.end, push: dataEnd === this.#queue.end, repetition };
  }

  /**
   * There is something to send, and the peer's window is against it: once nothing is in flight, only a probe finds out
   * that it opens.
   */
  #persist(nowMs: number): undefined {
    if (!this.recovery.sent.isEmpty || this.#windowEdge > this.#next) return;
    const { timeoutMs } = this.#roundTrip;
    const waitMs = Math.min(LONGEST_PERSIST_MS, timeoutMs * 2 ** this.#persistProbes);
    this.#timers.setIfIdle("persist", nowMs + waitMs);
  }

  #stopPersisting(): void {
    this.#persistProbes = 0;
    this.#timers.clear("persist");
  }

  /** The timer "persist" is due. Returns whether to probe the window. */
  onPersist(nowMs: number, giveUpMs: number): boolean {
    if (this.#windowEdge > this.#next) return false;
    this.#persistProbes += 1;
    this.#timers.setIfIdle("giveUp", nowMs + giveUpMs);
    this.#persist(nowMs);
    return true;
  }

  /** The connection is over: drops everything. */
  clear(): void {
    this.#queue.discardTo(this.#queue.end);
    this.recovery.clear();
    this.#timers.clear("persist");
  }
}

function wholeSegments(bytes: number, segmentBytes: number): number {
  return Math.floor(bytes / segmentBytes) * segmentBytes;
}
