/**
 * One subflow: a TCP connection whose segments carry the options of Multipath TCP. What they say of the connection goes
 * to its {@link SubflowOwner}. Read RFC 8684 section 3 before changing this file.
 */
import { equalSecrets } from "../../base/bytes.ts";
import { toPosition, toSequence } from "../../base/sequence.ts";
import type { SchedulableSubflow } from "../../policy/scheduler/scheduler.ts";
import { sumWords } from "../../wire/checksum.ts";
import { dssChecksum } from "../../wire/mptcp/dss-checksum.ts";
import { type DssMapping, type DssOption, type MptcpOption, RESET_REASON } from "../../wire/mptcp/options.ts";
import { type SegmentOption, segmentOptionByteLength } from "../../wire/tcp/options.ts";
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";
import { TcpConnection } from "../tcp/connection.ts";
import type { OutgoingSegment, SegmentExtension } from "../tcp/extension.ts";
import type { Assignment } from "./data-sender.ts";
import { dssOption, wireMapping } from "./dss-option.ts";
import type { SubflowDescription } from "./events.ts";
import { findMptcp, type Handshake, type HandshakeVerdict, isMptcp } from "./handshake.ts";
import { dataPositionOf, type Mapping, MappingList } from "./mappings.ts";
import { MAPPED } from "./plain-stream.ts";
import type { Session } from "./session.ts";
import type { SubflowOptions, SubflowOwner } from "./subflow-owner.ts";

/** Options that wait for a segment without data: addresses, priorities. */
export const MOST_SIGNALS = 16;
/** SYNs with MP_CAPABLE that are sent before one without: it goes out after 3 s, as Linux's does (which repeats its SYNs every second). */
export const MOST_CAPABLE_SYNS = 2;
/** The largest DSS: both numbers of 8 bytes, with checksum. */
const LARGEST_DSS_BYTES = 28;
/** The largest one of plain TCP: a mapping without DATA_ACK. */
const PLAIN_DSS_BYTES = 20;

export class Subflow implements SegmentExtension, SchedulableSubflow {
  readonly id: number;
  readonly tcp: TcpConnection;
  /** Until the subflow is established. */
  handshake: Handshake | undefined;
  readonly localAddressId: number;
  remoteAddressId: number;
  /** Each side's wish. */
  localBackup: boolean;
  peerBackup = false;
  /** The SYN had data that was taken: it may be answered before the handshake has ended (RFC 7413 section 4.2). */
  answersEarly = false;
  /** What a reset of ours says, and what the peer's said. */
  resetOptions: readonly MptcpOption[] = NO_OPTIONS;
  peerResetReason: number | undefined;
  /** How often it has asked the peer by MP_FASTCLOSE for a reset; from the first time on it says and takes nothing else. */
  fastCloses = 0;
  /** Mappings of what was given to it and is not acknowledged, and of what is to arrive. */
  readonly sent = new MappingList();
  readonly received = new MappingList();
  /** Where mappings end, in either direction. */
  plain = MAPPED;
  readonly #session: Session;
  readonly #owner: SubflowOwner;
  /** Between an acknowledgement of ours and the data that answers it; undefined without timestamps. */
  receiveRttMs: number | undefined;
  #signals: readonly MptcpOption[] = NO_OPTIONS;
  #timeoutsSeen = 0;
  #synsSent = 0;
  /** See {@link #isTurnOfFin}: the third ACK was the keys' first turn. */
  #isFinNext = true;
  /** What went with the SYN, until that is answered. */
  #synBytes: Uint8Array = NO_BYTES;

  constructor(options: SubflowOptions) {
    this.id = options.id;
    this.handshake = options.handshake;
    this.localAddressId = options.localAddressId;
    this.remoteAddressId = options.remoteAddressId;
    this.localBackup = options.backup;
    this.#session = options.session;
    this.#owner = options.owner;
    const { local, remote, initialSequence, timestampOffset, settings } = options;
    this.tcp = new TcpConnection({ local, remote, initialSequence, timestampOffset, settings, extension: this });
  }

  get description(): SubflowDescription {
    const { local, remote } = this.tcp;
    const { id, localAddressId, remoteAddressId } = this;
    return { subflow: id, local, remote, localAddressId, remoteAddressId };
  }

  /** The peer is known to have understood the handshake. */
  get isConfirmed(): boolean {
    return this.handshake === undefined || this.handshake.isConfirmed;
  }

  /** It may carry new data. */
  get isUsable(): boolean {
    const { state, sender, closeReason } = this.tcp;
    if (closeReason !== undefined || sender.finished) return false;
    if (state === "synReceived") return this.answersEarly;
    const open = state === "established" || state === "closeWait";
    return open && (this.#session.fallback !== undefined || this.#mayCarryData);
  }

  /**
   * The one who has asked for a further subflow waits for the fourth segment; who has asked for the first one need not
   * wait.
   */
  get #mayCarryData(): boolean {
    return this.isConfirmed || (this.id === 0 && (this.answersEarly || this.#session.remote !== undefined));
  }

  get isBackup(): boolean {
    return this.localBackup || this.peerBackup;
  }

  get isStale(): boolean {
    return this.tcp.roundTrip.backOffs > 0;
  }

  get smoothedRttMs(): number | undefined {
    return this.tcp.roundTrip.smoothedMs;
  }

  get sendableBytes(): number {
    return this.tcp.sender.sendableBytes;
  }

  /** Whether the retransmission timer has expired since this was asked last. */
  takeTimeout(): boolean {
    const { timeouts } = this.tcp.sender.recovery;
    const expired = timeouts > this.#timeoutsSeen;
    this.#timeoutsSeen = timeouts;
    return expired;
  }

  /** The first bytes of the connection go with the SYN. */
  assignToSyn(bytes: Uint8Array): void {
    this.tcp.write(bytes);
    this.#synBytes = bytes;
  }

  /**
   * The SYN was answered. What of its data was taken counts as acknowledged, and has no data sequence numbers (RFC 8684 appendix B.2); what was not
   * is mapped like any other data.
   */
  settleSyn(): void {
    const { length } = this.#synBytes;
    if (length === 0 || this.#session.fallback !== undefined) return;
    const taken = Math.min(length, this.tcp.sender.acknowledged - 1);
    this.#session.ownSynBytes = taken;
    this.#session.sender.onDataAck(1 + taken, 0);
    const rest = { start: 1 + taken, end: 1 + length, dataStart: 1 + taken };
    if (taken < length) this.sent.append({ ...rest, checksum: this.#checksumOf(rest, this.#synBytes.subarray(taken)) });
    this.#synBytes = NO_BYTES;
  }

  /** Bytes of the peer's SYN that were taken: what its mappings say of this subflow counts from behind them. */
  get synBytesTaken(): number {
    return this.id === 0 ? this.#session.peerSynBytes : 0;
  }

  /** The subflow sequence number with which a mapping names a position of ours. */
  #sequenceOf(position: number): number {
    return toSequence(0, position - (this.id === 0 ? this.#session.ownSynBytes : 0));
  }

  /** The position in the peer's subflow that a mapping names, near `expected`. */
  #positionOf(sequence: number, expected: number): number {
    return toPosition(0, sequence, expected - this.synBytesTaken) + this.synBytesTaken;
  }

  /** Whether it would take a segment, or as much as there is: `wanted` bytes. */
  canTake(wanted: number): boolean {
    const { sender } = this.tcp;
    const idle = sender.recovery.sent.isEmpty && sender.unsentBytes === 0;
    return sender.sendableBytes >= (idle ? 1 : Math.min(wanted, sender.segmentBytes));
  }

  /** Gives it bytes of the connection. */
  assign({ start, bytes }: Assignment): void {
    const { sender } = this.tcp;
    const from = sender.end;
    sender.writeOwned(bytes);
    if (this.#session.fallback !== undefined) return;
    const mapping = { start: from, end: from + bytes.length, dataStart: start };
    this.sent.append({
      ...mapping,
      checksum: this.#session.usesChecksum ? this.#checksumOf(mapping, bytes) : undefined,
    });
  }

  #wireMapping(mapping: Mapping): DssMapping {
    return wireMapping(this.#session, mapping, this.#sequenceOf(mapping.start));
  }

  #checksumOf({ start, end, dataStart }: Omit<Mapping, "checksum">, bytes: Uint8Array): number {
    const sequence = this.#session.sequenceOf(dataStart);
    return dssChecksum({ sequence, subflowSequence: this.#sequenceOf(start), length: end - start }, sumWords(bytes));
  }

  /** Says something to the peer with the next segment without data; returns false when too much is waiting already. */
  signal(option: MptcpOption): boolean {
    if (this.#signals.length >= MOST_SIGNALS || this.fastCloses > 0) return false;
    this.#signals = [...this.#signals, option];
    this.tcp.requestAcknowledgement();
    return true;
  }

  // What goes out: SegmentExtension.

  /** Until the handshake has been confirmed, and while MP_FAIL is to be heard, segments without data say that. */
  get hasSignals(): boolean {
    return this.#signals.length > 0 && this.isConfirmed && !this.plain.isDeaf;
  }

  get dataOptionBytes(): number {
    return this.#session.fallback === undefined ? LARGEST_DSS_BYTES : 0;
  }

  windowBytes(): number {
    const window = this.#session.receiver.takeWindow();
    // In plain TCP what waits here takes of it; in Multipath TCP it lies within it, behind the DATA_ACK.
    return this.#session.fallback === undefined ? window : Math.max(0, window - this.tcp.readableBytes);
  }

  boundary(start: number, end: number): number {
    const mapped = Math.min(end, this.sent.find(start)?.end ?? end);
    // Segments of plain TCP have no room for options; those up to the infinite mapping have one.
    const { infiniteFrom } = this.plain;
    if (infiniteFrom === undefined || start > infiniteFrom) return mapped;
    return Math.min(mapped, start + this.tcp.sender.segmentBytes - PLAIN_DSS_BYTES);
  }

  options(outgoing: OutgoingSegment): readonly SegmentOption[] {
    const { flags, start, payload, roomBytes } = outgoing;
    if ((flags & TCP_FLAG.rst) !== 0 || this.fastCloses > 0) return this.resetOptions;
    if (this.#session.fallback !== undefined) return this.#plainOptions(outgoing);
    if ((flags & TCP_FLAG.syn) !== 0) return this.#synOptions((flags & TCP_FLAG.ack) !== 0);
    const mapping = payload.length === 0 ? undefined : this.sent.find(start);
    const greeting = this.isConfirmed ? undefined : this.handshake?.ackOption(outgoing, mapping);
    if (greeting !== undefined && !this.#isTurnOfFin(payload)) return [greeting];
    const options: MptcpOption[] = [];
    if (payload.length === 0) this.#addSignal(options, roomBytes);
    const dss = dssOption(this.#session, mapping && this.#wireMapping(mapping));
    const room = roomBytes - options.reduce((sum, option) => sum + segmentOptionByteLength(option), 0);
    if (segmentOptionByteLength(dss) <= room) options.push(dss);
    return options;
  }

  /** RFC 8684 section 3.1: after some SYNs with MP_CAPABLE that nobody answers, one without it may pass. */
  #synOptions(isAnswer: boolean): readonly SegmentOption[] {
    if (this.handshake === undefined) return NO_OPTIONS;
    this.#synsSent += 1;
    if (this.id > 0 || isAnswer || this.#synsSent <= MOST_CAPABLE_SYNS) return [this.handshake.synOption()];
    this.#owner.onFallback("synLost");
    return [];
  }

  /**
   * DATA_FIN and the keys of the third ACK do not fit into one segment. A peer that has the keys need not say anything
   * before it hears of the end (Linux does not), so they take turns.
   */
  #isTurnOfFin(payload: Uint8Array): boolean {
    if (this.id > 0 || payload.length > 0 || !this.#session.sender.finDue) return false;
    this.#isFinNext = !this.#isFinNext;
    return !this.#isFinNext;
  }

  /** One at a time: addresses are too long to share a segment with each other. */
  #addSignal(options: MptcpOption[], roomBytes: number): void {
    const [signal] = this.#takeSignal();
    // One for which there is never room must not stand in the way of others.
    if (signal !== undefined && segmentOptionByteLength(signal) <= roomBytes) options.push(signal);
  }

  #takeSignal(): readonly MptcpOption[] {
    const signals = this.#signals;
    this.#signals = signals.length > 1 ? signals.slice(1) : NO_OPTIONS;
    return signals.length > 1 ? signals.slice(0, 1) : signals;
  }

  /** RFC 8684 section 3.7: the infinite mapping goes with the first segment that it is about, and MP_FAIL before. */
  #plainOptions({ start, payload, flags }: OutgoingSegment): readonly SegmentOption[] {
    if ((flags & TCP_FLAG.syn) !== 0) return [];
    const { isDeaf, failure, infiniteFrom, offset } = this.plain;
    if (payload.length === 0) return isDeaf && failure !== undefined ? [failure] : this.#takeSignal();
    if (infiniteFrom === undefined || start > infiniteFrom) return [];
    const mapping = start < infiniteFrom ? this.sent.find(start) : undefined;
    if (mapping !== undefined) return [{ type: "dss", mapping: this.#wireMapping(mapping) }];
    if (start < infiniteFrom) return [];
    const sequence = this.#session.dataNumberOf(start + offset);
    return [
      { type: "dss", mapping: { sequence, subflowSequence: this.#sequenceOf(start), length: 0, dataFin: false } },
    ];
  }

  // What comes in: SegmentExtension.

  onSegment(segment: TcpSegment, position: number, nowMs: number): "accept" | "reset" | "ignore" {
    if (segment.payload.length > 0) this.#measureRoundTrip(segment, nowMs);
    const options = segment.options.filter(isMptcp);
    if ((segment.flags & TCP_FLAG.rst) !== 0) return this.#onReset(options);
    // Who asks for the same gets the same answer (RFC 8684 section 3.5).
    if (this.fastCloses > 0) return this.#hasOurKey(options) ? "reset" : "ignore";
    if (this.#session.fallback !== undefined) return this.#onPlainSegment(options);
    const isSyn = (segment.flags & TCP_FLAG.syn) !== 0;
    const { handshake } = this;
    if (handshake !== undefined && (isSyn || !handshake.isConfirmed)) {
      // The one who is asked has read the SYN before there was a subflow.
      if (isSyn && (segment.flags & TCP_FLAG.ack) === 0) return "accept";
      const verdict = isSyn ? handshake.onSynAck(options) : handshake.onSegment(segment, options);
      if (verdict !== "go") return this.#obey(verdict, isSyn ? "handshake" : "optionsRemoved");
      // Before the first DATA_ACK the window is told by the handshake (RFC 8684 section 3.3.5); in a SYN it is not
      // scaled.
      const windowBytes = segment.window * (isSyn ? 1 : 2 ** this.tcp.peerWindowShift);
      this.#session.sender.onDataAck(1, windowBytes);
    }
    if (isSyn) return "accept";
    if (options.length === 0 && this.#isPlainAnswer(segment)) this.#owner.onFallback("optionsRemoved");
    for (const option of options) if (!this.#onOption(option, segment, position)) return "ignore";
    return this.resetOptions.length > 0 ? "reset" : "accept";
  }

  /** A segment may have waited for data at the peer: what is shorter counts at once, what is longer by and by. */
  #measureRoundTrip(segment: TcpSegment, nowMs: number): void {
    const echoedMs = this.tcp.echoedMs(segment, nowMs);
    if (echoedMs === undefined) return;
    const rttMs = Math.max(0, nowMs - echoedMs);
    const before = this.receiveRttMs ?? rttMs;
    this.receiveRttMs = rttMs < before ? rttMs : before + (rttMs - before) / 8;
  }

  /**
   * The peer acknowledges data, or ends, and says nothing of Multipath TCP: it is plain TCP, or a middlebox removes
   * options. RFC 8684 section 3.7 lets only the first segments decide that; as long as plain TCP is the same stream it
   * can be decided at any time.
   */
  #isPlainAnswer(segment: TcpSegment): boolean {
    if (!this.#session.isPlainable || this.plain.isDeaf) return false;
    const ends = (segment.flags & TCP_FLAG.fin) !== 0;
    return ends || this.tcp.acknowledgedBy(segment) > this.#session.sender.acknowledged;
  }

  #obey(verdict: HandshakeVerdict, reason: "handshake" | "optionsRemoved"): "accept" | "reset" | "ignore" {
    if (verdict === "ignore") return "ignore";
    if (verdict === "fallback") {
      this.#owner.onFallback(reason);
      return "accept";
    }
    this.resetWith(this.handshake?.resetReason ?? RESET_REASON.multipathError);
    return "reset";
  }

  /** Ends its data, and asks the peer for a reset by what {@link resetOptions} has: MP_FASTCLOSE with an acknowledgement. */
  askFastClose(): void {
    this.fastCloses += 1;
    this.#signals = NO_OPTIONS;
    this.tcp.endData();
    this.tcp.requestAcknowledgement();
  }

  /** Makes the next reset say why (RFC 8684 section 3.6; version 0 has no such option). */
  resetWith(reason: number, transient = false): void {
    if (this.#session.version === 1) this.resetOptions = [{ type: "reset", transient, reason }];
  }

  #onReset(options: readonly MptcpOption[]): "accept" {
    this.peerResetReason = findMptcp(options, "reset")?.reason;
    const fail = findMptcp(options, "fail");
    if (fail !== undefined) this.#owner.onFail(this, this.#session.ownPositionOf({ octets: 8, value: fail.sequence }));
    this.#takeFastClose(options);
    return "accept";
  }

  #takeFastClose(options: readonly MptcpOption[]): void {
    if (this.#hasOurKey(options)) this.#owner.onFastClose();
  }

  /** RFC 8684 section 3.5: only who knows our key may abort the connection. */
  #hasOurKey(options: readonly MptcpOption[]): boolean {
    const key = findMptcp(options, "fastClose")?.receiverKey;
    return key !== undefined && equalSecrets(key, this.#session.local.key);
  }

  isAuthenticReset({ options }: TcpSegment): boolean {
    return this.#hasOurKey(options.filter(isMptcp));
  }

  #onPlainSegment(options: readonly MptcpOption[]): "accept" | "reset" {
    for (const option of options) {
      if (option.type === "dss" && option.mapping !== undefined) {
        if (option.mapping.length === 0) this.#onInfinite(option.mapping);
        else if (!this.#isPlain(option.mapping)) return "reset";
      }
      if (option.type === "fail") {
        this.#owner.onFail(this, this.#session.ownPositionOf({ octets: 8, value: option.sequence }));
      }
    }
    return "accept";
  }

  /**
   * The peer has not noticed yet that this is plain TCP. What it maps must be what plain TCP says, or the streams part
   * (RFC 8041 section 3.1).
   */
  #isPlain({ sequence, subflowSequence, length, dataFin }: DssMapping): boolean {
    const dataStart = this.#session.peerPositionOf(sequence);
    if (dataStart === undefined || this.plain.isDeaf || length === (dataFin ? 1 : 0)) return true;
    return dataStart === this.#positionOf(subflowSequence, this.tcp.readPosition) + this.plain.receiveOffset;
  }

  /** Returns false when the segment must not be taken. */
  #onOption(option: MptcpOption, segment: TcpSegment, position: number): boolean {
    switch (option.type) {
      case "dss":
        return this.#onDss(option, segment, position);
      case "capable":
        return this.#onCapableData(option.data);
      case "addAddress":
      case "addAddressV0":
        this.#owner.onAddress(option);
        return true;
      case "removeAddress":
        this.#owner.onRemovedAddresses(option.addressIds);
        return true;
      case "priority":
        this.#owner.onPriority(this, option.backup, option.addressId);
        return true;
      case "fail":
        this.#owner.onFail(this, this.#session.ownPositionOf({ octets: 8, value: option.sequence }));
        return true;
      case "fastClose":
        this.#takeFastClose([option]);
        return true;
      default:
        return true;
    }
  }

  /** RFC 8684 section 3.1: MP_CAPABLE with data maps the connection's first bytes. */
  #onCapableData(data: { readonly length: number; readonly checksum?: number } | undefined): boolean {
    if (data === undefined || data.length === 0) return true;
    const start = 1 + this.synBytesTaken;
    return this.#addMapping({ start, end: start + data.length, dataStart: start, checksum: data.checksum });
  }

  #onDss({ dataAck, mapping }: DssOption, segment: TcpSegment, position: number): boolean {
    if (dataAck !== undefined) {
      const windowBytes = segment.window * 2 ** this.tcp.peerWindowShift;
      const isSound = this.#session.sender.onDataAck(this.#session.ownPositionOf(dataAck), windowBytes);
      if (!isSound) this.#owner.onNonsense("dataAckBeyondData");
      if (this.id === 0) {
        const position = this.tcp.acknowledgedBy(segment);
        this.#session.acknowledgedWithData = Math.max(this.#session.acknowledgedWithData, position);
      }
    }
    return mapping === undefined || this.#onMapping(mapping, position);
  }

  #onMapping(mapping: DssMapping, position: number): boolean {
    const dataStart = this.#session.peerPositionOf(mapping.sequence);
    if (dataStart === undefined) return false;
    if (mapping.length === 0) {
      this.#onInfinite(mapping);
      return true;
    }
    const length = mapping.length - (mapping.dataFin ? 1 : 0);
    if (mapping.dataFin) {
      this.#session.receiver.onFin(dataStart + length);
      this.tcp.requestAcknowledgement();
    }
    if (length === 0) return true;
    const start = this.#positionOf(mapping.subflowSequence, position);
    if (dataStart + length > this.#session.receiver.edge) this.#owner.onNonsense("mappingBeyondWindow");
    const { checksum, dataFin: endsStream } = mapping;
    return this.#addMapping({ start, end: start + length, dataStart, checksum, ...(endsStream && { endsStream }) });
  }

  #onInfinite(mapping: DssMapping): void {
    const dataStart = this.#session.peerPositionOf(mapping.sequence);
    const start = this.#positionOf(mapping.subflowSequence, this.tcp.readPosition);
    if (dataStart !== undefined) this.#owner.onInfiniteMapping(this, start, dataStart);
  }

  /** Returns false when there is no room for the mapping: the segment then is to come again. */
  #addMapping(mapping: Mapping): boolean {
    const from = this.tcp.readPosition;
    if (mapping.end <= from) return true;
    const rest =
      mapping.start < from && mapping.checksum === undefined
        ? { ...mapping, start: from, dataStart: dataPositionOf(mapping, from) }
        : mapping;
    if (rest.start !== rest.dataStart) this.#session.isPlainable = false;
    this.#session.peerHasMapped = true;
    const outcome = this.received.add(rest);
    if (outcome === "conflict") {
      this.#owner.onNonsense("conflictingMapping");
      this.resetWith(RESET_REASON.multipathError);
    }
    return outcome !== "full";
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_OPTIONS: readonly MptcpOption[] = [];
