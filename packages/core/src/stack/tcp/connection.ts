/**
 * One TCP connection: segments and time in, segments and events out. Before changing this folder read RFC 9293 sections
 * 3.5 to 3.8 and 3.10.
 *
 * The states are in state.ts; segment-arrival.ts takes segments, sender.ts and loss-recovery.ts decide what is sent,
 * receiver.ts what is kept and acknowledged, ending.ts how it ends. Positions (see base/sequence.ts) become sequence
 * numbers only where a segment is read or made.
 *
 * A driver calls {@link TcpConnection.receive} and {@link TcpConnection.onTimeout} as things happen, and after these
 * and after every call of the application {@link TcpConnection.pollTransmit} until it has nothing, then {@link
 * TcpConnection.pollTimeout}.
 */
import { type Endpoint, isIpv4 } from "../../base/ip-address.ts";
import { toPosition } from "../../base/sequence.ts";
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";
import { closeIfDue, endConnection, resetConnection } from "./ending.ts";
import type { CloseReason, TcpEvent } from "./events.ts";
import { findOption, type SynOptions } from "./handshake.ts";
import { createParts, resizeSegments, type TcpParts } from "./parts.ts";
import type { RoundTrip } from "./round-trip.ts";
import { receiveCookie, receiveSegment, receiveSyn } from "./segment-arrival.ts";
import { makeReset, makeSegment, makeSyn } from "./segment-writer.ts";
import type { Sender, Transmission } from "./sender.ts";
import type { AcceptOptions, OpenOptions, TcpConnectionOptions } from "./settings.ts";
import { isSynchronized, maySend, type TcpState } from "./state.ts";
import { SynExchange } from "./syn-exchange.ts";
import type { Timer } from "./timers.ts";

export class TcpConnection {
  readonly #parts: TcpParts;
  /** A segment without data, before the window, that the peer must answer. */
  #probeDue = false;

  constructor(options: TcpConnectionOptions) {
    this.#parts = createParts(options, isIpv4(options.remote.address));
  }

  get local(): Endpoint {
    return this.#parts.local;
  }

  get remote(): Endpoint {
    return this.#parts.remote;
  }

  get state(): TcpState {
    return this.#parts.life.state;
  }

  /** Why it is over, or undefined while it is not. */
  get closeReason(): CloseReason | undefined {
    return this.#parts.life.closeReason;
  }

  /** Over, and nothing left to send: it may be forgotten. */
  get isDone(): boolean {
    return this.closeReason !== undefined && this.#parts.life.pendingReset === undefined;
  }

  get sender(): Sender {
    return this.#parts.sender;
  }

  get roundTrip(): RoundTrip {
    return this.#parts.roundTrip;
  }

  /** The peer's windows are told in units of 2 to the power of this. */
  get peerWindowShift(): number {
    return this.#parts.agreement.peerShift;
  }

  /** What the peer has agreed to in its SYN; `windowShift` is that of its windows. */
  get agreed(): { readonly selective: boolean; readonly windowShift: number | undefined } {
    const { usesSelective: selective, peerScales, peerShift } = this.#parts.agreement;
    return { selective, windowShift: peerScales ? peerShift : undefined };
  }

  /** A Fast Open cookie that the peer has given with its SYN-ACK. */
  get givenCookie(): Uint8Array | undefined {
    return this.#parts.agreement.givenCookie;
  }

  /**
   * In TIME-WAIT: whether `syn` is no old duplicate, and may begin a new connection of the same ends (RFC 9293 section
   * 3.6.1, RFC 6191).
   */
  mayGiveWayTo(syn: TcpSegment): boolean {
    const { agreement, receiver } = this.#parts;
    if (this.state !== "timeWait") return false;
    return toPosition(agreement.peerInitialSequence, syn.sequence, receiver.next) > receiver.next;
  }

  /** Ends TIME-WAIT before its time: {@link mayGiveWayTo}. */
  endTimeWait(): void {
    if (this.state === "timeWait") endConnection(this.#parts, "timeout", "finished");
  }

  /** Bytes in order that may be read. */
  get readableBytes(): number {
    return this.#parts.receiver.readableBytes;
  }

  /** Bytes that have arrived before earlier ones: what a receiver sees of loss. */
  get overtakingBytes(): number {
    return this.#parts.receiver.overtakingBytes;
  }

  /** Bytes that wait for earlier ones. */
  get outOfOrderBytes(): number {
    return this.#parts.receiver.outOfOrderBytes;
  }

  /** Position of the next byte to be read in the peer's stream: its first byte is 1. */
  get readPosition(): number {
    return this.#parts.receiver.readPosition;
  }

  /** The peer has ended: nothing follows what is readable. */
  get hasEnded(): boolean {
    return this.#parts.receiver.finReached;
  }

  /** What this connection keeps, in bytes. */
  get memory(): {
    readonly outOfOrderBytes: number;
    readonly readableBytes: number;
    readonly unacknowledgedBytes: number;
  } {
    const { receiver, sender } = this.#parts;
    return {
      outOfOrderBytes: receiver.outOfOrderBytes,
      readableBytes: receiver.readableBytes,
      unacknowledgedBytes: sender.bufferedBytes,
    };
  }

  // What the application does.

  /** Active open: sends a SYN. */
  open(nowMs: number, options: OpenOptions = {}): void {
    this.#parts.life.change("activeOpen");
    this.#beginExchange(options).start(nowMs);
  }

  /** Passive open: takes a SYN, and answers it. */
  accept(syn: TcpSegment, nowMs: number, options: AcceptOptions = {}): void {
    this.#parts.life.change("passiveOpen");
    receiveSyn(this.#parts, syn, options.takeData ?? false, nowMs);
    this.#beginExchange(options).start(nowMs);
  }

  #beginExchange(wanted: OpenOptions & AcceptOptions): SynExchange {
    const { timers, roundTrip, settings } = this.#parts;
    this.#parts.syn = new SynExchange(wanted, timers, roundTrip, settings.synGiveUpMs);
    return this.#parts.syn;
  }

  /**
   * Passive open from the third segment of a handshake of which nothing was kept (SYN cookies, RFC 4987 section 3.6),
   * which is taken too. `peerSyn` is what is known of the SYN.
   */
  acceptCookie(ack: TcpSegment, peerSyn: SynOptions, nowMs: number): void {
    this.#parts.life.change("passiveOpen");
    receiveCookie(this.#parts, (ack.sequence - 1) >>> 0, peerSyn, nowMs);
    this.receive(ack, nowMs);
  }

  /** Takes a copy of as much of `bytes` as there is room for; returns how much. */
  write(bytes: Uint8Array): number {
    const { life, sender } = this.#parts;
    return life.closeWanted || life.closeReason !== undefined ? 0 : sender.write(bytes);
  }

  /** Moves readable bytes into `into`; returns how many. */
  read(into: Uint8Array): number {
    return this.#parts.receiver.read(into);
  }

  /** Takes at most `most` readable bytes in one piece, which nobody changes any more. */
  take(most: number): Uint8Array {
    return this.#parts.receiver.take(most);
  }

  /** Nothing more will be written: what was, still arrives, and then the peer sees the end. */
  shutdownWrite(): void {
    this.#parts.life.closeWanted = true;
    closeIfDue(this.#parts);
  }

  /**
   * Nobody reads or writes any more; what was written still arrives. Where something was not read, the peer learns by a
   * reset that it was lost (RFC 9293 section 3.6.1).
   */
  close(nowMs: number): void {
    const { life, receiver, timers, settings } = this.#parts;
    if (life.closeReason !== undefined) return receiver.discard();
    life.isOrphan = true;
    if (receiver.readableBytes > 0 || life.state === "synSent") return resetConnection(this.#parts, "aborted");
    this.shutdownWrite();
    if (life.state === "finWait2") timers.setIfIdle("linger", nowMs + settings.orphanMs);
  }

  /** Aborts: the peer sees a reset, and what was not acknowledged is lost. */
  reset(): void {
    resetConnection(this.#parts, "aborted");
  }

  /** Sends no data any more, not even what was written or is lost. Segments without data still go. */
  endData(): void {
    const { life, sender, timers } = this.#parts;
    life.hasEndedData = true;
    sender.clear();
    timers.clearAll();
  }

  /** Asks for a segment that acknowledges, at once: one with options for the peer. */
  requestAcknowledgement(): void {
    if (isSynchronized(this.state)) this.#parts.receiver.acknowledgeNow();
  }

  /** What a segment of the peer acknowledges: a position in our stream. */
  acknowledgedBy(segment: TcpSegment): number {
    return toPosition(this.#parts.initialSequence, segment.acknowledgment, this.#parts.sender.next);
  }

  /** When we sent the segment that this one of the peer answers (RFC 7323 TSecr), or undefined. */
  echoedMs({ options }: TcpSegment, nowMs: number): number | undefined {
    const { agreement, timestamps } = this.#parts;
    const stamp = agreement.usesTimestamps ? findOption(options, "timestamps") : undefined;
    return stamp && timestamps.sentMs(stamp.echoReply, nowMs);
  }

  /** Sends a segment that the peer must answer, whatever the window. */
  probe(): void {
    this.#probeDue = isSynchronized(this.state);
  }

  /** The extension needs another room in segments than before. */
  onExtensionChanged(): void {
    if (isSynchronized(this.state)) resizeSegments(this.#parts);
  }

  /**
   * A router says that segments with more than `segmentBytes` (payload and options) do not pass; `sequence` is of the
   * one it quotes (RFC 5927).
   */
  onPacketTooBig(segmentBytes: number, sequence: number, nowMs: number): void {
    const { sender, agreement, initialSequence } = this.#parts;
    const position = toPosition(initialSequence, sequence, sender.next);
    if (!isSynchronized(this.state) || position < sender.acknowledged || position >= sender.next) return;
    if (!agreement.pathSize.onTooBig(segmentBytes, nowMs)) return;
    resizeSegments(this.#parts);
    sender.onTooBig();
  }

  /**
   * A router or the peer's host says that a segment did not arrive; `sequence` is of the one it quotes. It ends an
   * attempt to connect, as in Linux, and no connection: RFC 1122 section 4.2.3.9, RFC 5461 section 4.1, RFC 5927.
   */
  onUnreachable(sequence: number): void {
    if (this.state !== "synSent" || sequence !== this.#parts.initialSequence) return;
    endConnection(this.#parts, "abort", "unreachable");
  }

  /** Takes a segment of this connection, whose checksum was sound. */
  receive(segment: TcpSegment, nowMs: number): void {
    receiveSegment(this.#parts, segment, nowMs);
  }

  // Time and events.

  /** When {@link onTimeout} wants to be called, or undefined. */
  pollTimeout(): number | undefined {
    return this.#parts.timers.nextMs;
  }

  onTimeout(nowMs: number): void {
    const { timers } = this.#parts;
    for (let timer = timers.takeDue(nowMs); timer !== undefined; timer = timers.takeDue(nowMs))
      this.#onTimer(timer, nowMs);
  }

  pollEvent(): TcpEvent | undefined {
    return this.#parts.life.pollEvent();
  }

  #onTimer(timer: Timer, nowMs: number): void {
    const { life, syn, sender, receiver, settings } = this.#parts;
    switch (timer) {
      case "retransmission":
        return life.isOpening ? syn?.start(nowMs) : this.#onRetransmissionTimeout(nowMs);
      case "tailLossProbe":
        return life.isOpening ? undefined : sender.recovery.onTailLossProbe();
      case "reordering":
        return sender.recovery.onReordering(nowMs);
      case "delayedAcknowledgement":
        return receiver.acknowledgeNow();
      case "persist":
        this.#probeDue = sender.onPersist(nowMs, settings.giveUpMs);
        return;
      case "keepalive":
        return this.#onKeepalive(nowMs);
      case "giveUp":
        return resetConnection(this.#parts, "timedOut");
      case "linger":
        if (life.state === "timeWait") endConnection(this.#parts, "timeout", "finished");
        else resetConnection(this.#parts, "aborted");
    }
  }

  #onRetransmissionTimeout(nowMs: number): void {
    const { sender, agreement, roundTrip } = this.#parts;
    const { first } = sender.recovery.sent;
    sender.recovery.onRetransmissionTimeout(nowMs);
    if (first === undefined) return;
    if (agreement.pathSize.onTimeout(roundTrip.backOffs, first.end - first.start, nowMs)) resizeSegments(this.#parts);
  }

  #onKeepalive(nowMs: number): void {
    const next = this.#parts.keepalive?.onTimer(nowMs);
    if (next === "giveUp") resetConnection(this.#parts, "timedOut");
    else this.#probeDue = next === "ask";
  }

  // Segments out.

  /** The next segment to send, or undefined when there is none for now. */
  pollTransmit(nowMs: number): TcpSegment | undefined {
    const { life, syn, sender, receiver, extension } = this.#parts;
    if (life.pendingReset !== undefined) {
      const { sequence, position } = life.pendingReset;
      life.pendingReset = undefined;
      return makeReset(this.#parts, sequence, position, nowMs);
    }
    if (life.state === "closed") return undefined;
    if (syn?.isDue) return this.#makeSyn(syn, nowMs);
    if (life.state === "synSent") return undefined;
    // What it says may be about the data that follows.
    const announces = extension?.hasSignals === true && receiver.acknowledgementDue;
    const next = this.#maySend && !announces ? sender.nextTransmission(nowMs) : undefined;
    if (next !== undefined) return makeSegment(this.#parts, flagsOf(next), next.start, next.payload, nowMs);
    if (this.#probeDue) {
      this.#probeDue = false;
      return makeSegment(this.#parts, TCP_FLAG.ack, sender.acknowledged - 1, NO_BYTES, nowMs);
    }
    if (receiver.acknowledgementDue) return makeSegment(this.#parts, TCP_FLAG.ack, sender.next, NO_BYTES, nowMs);
    return undefined;
  }

  /** With Fast Open, data may answer that of the SYN before the handshake has ended (RFC 7413 section 4.2). */
  get #maySend(): boolean {
    if (this.#parts.life.hasEndedData) return false;
    return maySend(this.state) || (this.state === "synReceived" && this.#parts.syn?.wanted.takeData === true);
  }

  #makeSyn(syn: SynExchange, nowMs: number): TcpSegment {
    const answer = this.state === "synReceived";
    // RFC 7413 section 4.1.3.1: what is repeated carries neither cookie nor data, lest a middlebox drops it again.
    const first = syn.take();
    const fastOpenCookie = first ? syn.wanted.fastOpenCookie : undefined;
    const withData = first && !answer && syn.wanted.dataInSyn;
    const payload = (most: number) => (withData ? this.#parts.sender.takeForSyn(most, nowMs) : NO_BYTES);
    return makeSyn(this.#parts, { answer, fastOpenCookie, payload }, nowMs);
  }
}

const NO_BYTES = new Uint8Array(0);

function flagsOf({ fin, push, payload }: Transmission): number {
  return TCP_FLAG.ack | (fin ? TCP_FLAG.fin : 0) | (push && payload.length > 0 ? TCP_FLAG.psh : 0);
}
