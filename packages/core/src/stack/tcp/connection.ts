/**
 * One TCP connection: segments and time in, segments and events out. Before changing this file read RFC 9293 sections 3.5, 3.8 and 3.10, whose
 * order of checks {@link TcpConnection.receive} follows, RFC 5961 and RFC 7323.
 *
 * The states are in state.ts, sending in sender.ts and loss-recovery.ts, receiving in receiver.ts; this file brings them together. Positions (see
 * base/sequence.ts) become sequence numbers only where a segment is read or made.
 */
import type { Endpoint } from "../../base/ip-address.ts";
import { isIpv4 } from "../../base/ip-address.ts";
import { toPosition, toSequence } from "../../base/sequence.ts";
import type { SegmentOption } from "../../wire/tcp/options.ts";
import { MOST_OPTION_BYTES, segmentOptionsByteLength } from "../../wire/tcp/options.ts";
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";
import { ChallengeLimit } from "./challenge-limit.ts";
import type { CloseReason, TcpEvent } from "./events.ts";
import type { SegmentExtension } from "./extension.ts";
import {
  findOption,
  readSynOptions,
  type SynOptions,
  TIMESTAMP_BYTES,
  windowShiftFor,
  writeSynOptions,
} from "./handshake.ts";
import { LossRecovery } from "./loss-recovery.ts";
import { PathSegmentSize } from "./path-segment-size.ts";
import { Receiver } from "./receiver.ts";
import { RoundTrip } from "./round-trip.ts";
import { Sender } from "./sender.ts";
import type { Interval } from "./sent-queue.ts";
import { KEEPALIVE_INTERVAL_MS, MOST_KEEPALIVES, type TcpSettings } from "./settings.ts";
import { isSynchronized, mayReceive, maySend, type StateEvent, type TcpState, transition } from "./state.ts";
import { type Timer, Timers } from "./timers.ts";
import { Timestamps } from "./timestamps.ts";

export interface TcpConnectionOptions {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly settings: TcpSettings;
  /** ISS (RFC 6528). */
  readonly initialSequence: number;
  /** What our timestamps show at 0 ms (RFC 7323 section 5.4). */
  readonly timestampOffset: number;
  readonly extension?: SegmentExtension;
}

/** What an active open may bring along. */
export interface OpenOptions {
  /** A Fast Open cookie of the peer, or no bytes to ask for one (RFC 7413). */
  readonly fastOpenCookie?: Uint8Array;
  /** What was written already goes with the SYN. */
  readonly dataInSyn?: boolean;
}

/** What a passive open may bring along. */
export interface AcceptOptions {
  /** The data of the SYN is taken, and data may be sent before the handshake has ended (RFC 7413). */
  readonly takeData?: boolean;
  /** A cookie for the peer's next connection. */
  readonly fastOpenCookie?: Uint8Array;
}

export class TcpConnection {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly roundTrip = new RoundTrip();
  readonly sender: Sender;
  readonly #settings: TcpSettings;
  readonly #extension: SegmentExtension | undefined;
  readonly #receiver: Receiver;
  readonly #timers = new Timers();
  readonly #timestamps: Timestamps;
  readonly #challenges = new ChallengeLimit();
  readonly #initialSequence: number;
  #peerInitialSequence = 0;
  #state: TcpState = "closed";
  #closeReason: CloseReason | undefined;
  #pathSize: PathSegmentSize;
  #usesTimestamps = false;
  #usesSelective = false;
  #peerShift = 0;
  #synAttempts = 0;
  #synSentMs = 0;
  #synDue = false;
  #open: OpenOptions & AcceptOptions = {};
  #peerSyn: SynOptions | undefined;
  #fastOpened = false;
  #closeWanted = false;
  #orphan = false;
  #writeBlocked = false;
  #resetDue: { readonly sequence: number; readonly acknowledge: boolean } | undefined;
  #probeDue = false;
  #keepalives = 0;
  #heardMs = 0;
  #events: TcpEvent[] = [];

  constructor(options: TcpConnectionOptions) {
    const { settings, extension } = options;
    this.local = options.local;
    this.remote = options.remote;
    this.#settings = settings;
    this.#extension = extension;
    this.#initialSequence = options.initialSequence;
    this.#timestamps = new Timestamps(options.timestampOffset);
    this.#pathSize = new PathSegmentSize(settings.maximumSegmentBytes);
    const segmentBytes = settings.maximumSegmentBytes;
    this.#receiver = new Receiver({
      bufferBytes: settings.receiveBufferBytes,
      timers: this.#timers,
      sharedWindowBytes: () => extension?.windowBytes(),
    });
    this.sender = new Sender({
      recovery: new LossRecovery({
        congestion: settings.congestion.create(segmentBytes),
        selective: false,
        segmentBytes,
        roundTrip: this.roundTrip,
        timers: this.#timers,
        giveUpMs: settings.giveUpMs,
      }),
      roundTrip: this.roundTrip,
      timers: this.#timers,
      segmentBytes,
      bufferBytes: settings.sendBufferBytes,
      bulkBytes: settings.bulkBytes,
      boundary: (start, end) => extension?.boundary(start, end) ?? end,
    });
  }

  get state(): TcpState {
    return this.#state;
  }

  /** Why it is over, or undefined while it is not. */
  get closeReason(): CloseReason | undefined {
    return this.#closeReason;
  }

  /** Over, and nothing left to send: it may be forgotten. */
  get isDone(): boolean {
    return this.#state === "closed" && this.#closeReason !== undefined && this.#resetDue === undefined;
  }

  /** Bytes in order that may be read. */
  get readableBytes(): number {
    return this.#receiver.readableBytes;
  }

  /** Position of the next byte to be read in the peer's stream: its first byte is 1. */
  get readPosition(): number {
    return this.#receiver.readPosition;
  }

  /** The peer has ended: nothing follows what is readable. */
  get hasEnded(): boolean {
    return this.#receiver.finReached;
  }

  /** The peer's first sequence number. */
  get peerInitialSequence(): number {
    return this.#peerInitialSequence;
  }

  // What the application does.

  /** Active open: sends a SYN. */
  open(nowMs: number, options: OpenOptions = {}): void {
    this.#change("activeOpen");
    this.#open = options;
    this.#startSyn(nowMs);
  }

  /** Passive open: takes a SYN, and answers it. */
  accept(syn: TcpSegment, nowMs: number, options: AcceptOptions = {}): void {
    this.#change("passiveOpen");
    this.#open = options;
    this.#takeSyn(syn, nowMs);
    this.#change("receiveSyn");
    this.#extension?.onSegment(syn, 1, nowMs);
    this.sender.updateWindow({ sequence: 0, acknowledgement: 1, windowBytes: syn.window });
    this.#begin();
    if (options.takeData && syn.payload.length > 0) {
      this.#fastOpened = true;
      if (this.#receiver.onData(1, syn.payload, (syn.flags & TCP_FLAG.fin) !== 0, nowMs)) this.#tell("readable");
    }
    this.#startSyn(nowMs);
  }

  /**
   * Passive open from the third segment of a handshake of which nothing was kept (SYN cookies, RFC 4987 section 3.6). `peerSyn` is what is known of
   * the SYN. The segment itself is to be received next.
   */
  acceptCookie(ack: TcpSegment, peerSyn: SynOptions, nowMs: number): void {
    this.#change("passiveOpen");
    this.#change("receiveSyn");
    this.#peerInitialSequence = (ack.sequence - 1) >>> 0;
    this.#agree(peerSyn, nowMs);
    this.#begin();
    this.#receiver.onAcknowledged();
  }

  /** Takes a copy of as much of `bytes` as there is room for; returns how much. */
  write(bytes: Uint8Array): number {
    if (this.#closeWanted || this.#closeReason !== undefined) return 0;
    const length = this.sender.write(bytes);
    this.#writeBlocked = length < bytes.length;
    return length;
  }

  /** Moves readable bytes into `into`; returns how many. */
  read(into: Uint8Array): number {
    return this.#receiver.read(into);
  }

  /** Takes at most `most` readable bytes in one piece, which nobody changes any more. */
  take(most: number): Uint8Array {
    return this.#receiver.take(most);
  }

  /** Nothing more will be written: what was, still arrives, and then the peer sees the end. */
  shutdownWrite(): void {
    if (this.#closeWanted || this.#closeReason !== undefined) return;
    this.#closeWanted = true;
    this.#closeIfDue();
  }

  /**
   * Nobody reads or writes any more; what was written still arrives. Where something was not read, the peer learns by a reset that it was lost
   * (RFC 9293 section 3.6.1).
   */
  close(nowMs: number): void {
    if (this.#closeReason !== undefined) return;
    this.#orphan = true;
    if (this.#receiver.readableBytes > 0) return this.reset(nowMs);
    this.shutdownWrite();
    if (this.#state === "finWait2") this.#timers.setIfIdle("linger", nowMs + this.#settings.orphanMs);
  }

  /** Aborts: the peer sees a reset, and what was not acknowledged is lost. */
  reset(_nowMs: number): void {
    if (this.#closeReason !== undefined) return;
    if (isSynchronized(this.#state) || this.#state === "synReceived") {
      this.#resetDue = { sequence: toSequence(this.#initialSequence, this.sender.next), acknowledge: true };
    }
    this.#end("abort", "aborted");
  }

  /** Asks for a segment that acknowledges, at once: one with options for the peer. */
  requestAcknowledgement(): void {
    this.#receiver.acknowledgeNow();
  }

  /** A router says that segments with more than `segmentBytes` (payload and options) do not pass; `sequence` is of the one it quotes (RFC 5927). */
  onPacketTooBig(segmentBytes: number, sequence: number, nowMs: number): void {
    const position = toPosition(this.#initialSequence, sequence, this.sender.next);
    if (!isSynchronized(this.#state) || position < this.sender.acknowledged || position >= this.sender.next) return;
    if (this.#pathSize.onTooBig(segmentBytes, nowMs)) this.#resize();
  }

  // Time and events.

  /** When {@link onTimeout} wants to be called, or undefined. */
  pollTimeout(): number | undefined {
    return this.#timers.nextMs;
  }

  onTimeout(nowMs: number): void {
    for (let timer = this.#timers.takeDue(nowMs); timer !== undefined; timer = this.#timers.takeDue(nowMs)) {
      this.#onTimer(timer, nowMs);
    }
  }

  pollEvent(): TcpEvent | undefined {
    return this.#events.shift();
  }

  #onTimer(timer: Timer, nowMs: number): void {
    const opening = this.#state === "synSent" || this.#state === "synReceived";
    switch (timer) {
      case "retransmission":
        if (opening) return this.#startSyn(nowMs);
        this.#onRetransmissionTimeout(nowMs);
        return;
      case "tailLossProbe":
        if (!opening) this.sender.recovery.onTailLossProbe();
        return;
      case "reordering":
        return this.sender.recovery.onReordering(nowMs);
      case "delayedAcknowledgement":
        return this.#receiver.acknowledgeNow();
      case "persist":
        this.#probeDue = this.sender.onPersist(nowMs, this.#settings.giveUpMs);
        return;
      case "keepalive":
        return this.#onKeepalive(nowMs);
      case "giveUp":
        if (isSynchronized(this.#state)) this.reset(nowMs);
        this.#closeReason = "timedOut";
        return this.#end("abort", "timedOut");
      case "linger":
        return this.#state === "timeWait" ? this.#end("timeout", "finished") : this.reset(nowMs);
    }
  }

  #onRetransmissionTimeout(nowMs: number): void {
    const { recovery } = this.sender;
    const { first } = recovery.sent;
    recovery.onRetransmissionTimeout(nowMs);
    if (first === undefined) return;
    if (this.#pathSize.onTimeout(this.roundTrip.backOffs, first.end - first.start, nowMs)) this.#resize();
  }

  /** RFC 9293 section 3.8.4. */
  #onKeepalive(nowMs: number): void {
    const { keepaliveMs } = this.#settings;
    if (keepaliveMs === undefined) return;
    const dueMs = this.#heardMs + keepaliveMs;
    if (nowMs < dueMs) return this.#timers.set("keepalive", dueMs);
    if (this.#keepalives >= MOST_KEEPALIVES) {
      this.reset(nowMs);
      this.#closeReason = "timedOut";
      return;
    }
    this.#keepalives += 1;
    this.#probeDue = true;
    this.#timers.set("keepalive", nowMs + KEEPALIVE_INTERVAL_MS);
  }

  // Segments in.

  /** Takes a segment of this connection, whose checksum was sound. */
  receive(segment: TcpSegment, nowMs: number): void {
    if (this.#state === "closed" || this.#state === "listen") return;
    if (this.#state === "synSent") this.#receiveInSynSent(segment, nowMs);
    else this.#receiveSynchronized(segment, nowMs);
  }

  /** RFC 9293 section 3.10.7.3. */
  #receiveInSynSent(segment: TcpSegment, nowMs: number): void {
    const { flags } = segment;
    const hasAck = (flags & TCP_FLAG.ack) !== 0;
    const acknowledged = toPosition(this.#initialSequence, segment.acknowledgment, this.sender.next);
    if (hasAck && (acknowledged < 1 || acknowledged > this.sender.next)) {
      if ((flags & TCP_FLAG.rst) === 0) this.#resetDue = { sequence: segment.acknowledgment, acknowledge: false };
      return;
    }
    if ((flags & TCP_FLAG.rst) !== 0) {
      if (hasAck) this.#end("abort", "refused");
      return;
    }
    if ((flags & TCP_FLAG.syn) === 0) return;
    this.#takeSyn(segment, nowMs);
    const verdict = this.#extension?.onSegment(segment, 1, nowMs) ?? "accept";
    if (verdict === "reset") {
      this.#change("receiveSyn");
      return this.reset(nowMs);
    }
    this.sender.updateWindow({ sequence: 0, acknowledgement: hasAck ? acknowledged : 1, windowBytes: segment.window });
    this.#begin();
    if (!hasAck) {
      // Simultaneous open: both have sent a SYN, and now both answer.
      this.#change("receiveSyn");
      return this.#startSyn(nowMs);
    }
    this.#change("receiveSynAck");
    this.#establish(nowMs);
    this.#acknowledge(segment, acknowledged, 0, nowMs);
    if (acknowledged < this.sender.next) this.sender.onSynDataIgnored();
    this.#takeText(segment, 1, nowMs);
    this.#receiver.acknowledgeNow();
  }

  /** RFC 9293 section 3.10.7.4, with the checks of RFC 5961 and RFC 7323. */
  #receiveSynchronized(segment: TcpSegment, nowMs: number): void {
    const { flags } = segment;
    const position = toPosition(this.#peerInitialSequence, segment.sequence, this.#receiver.next);
    const timestamps = this.#usesTimestamps ? findOption(segment.options, "timestamps") : undefined;
    const reset = (flags & TCP_FLAG.rst) !== 0;
    if (!reset && timestamps !== undefined && this.#timestamps.isOld(timestamps.value, nowMs))
      return this.#challenge(nowMs);
    if (!this.#isAcceptable(segment, position))
      return reset ? undefined : this.#answerUnacceptable(segment, position, nowMs);
    if (reset) return this.#onReset(segment, position, nowMs);
    if ((flags & TCP_FLAG.syn) !== 0) return this.#challenge(nowMs);
    if ((flags & TCP_FLAG.ack) === 0) return;
    const acknowledged = toPosition(this.#initialSequence, segment.acknowledgment, this.sender.next);
    if (!this.#isAcknowledgementAcceptable(acknowledged)) return this.#onUnacceptableAcknowledgement(segment, nowMs);
    this.#heard(nowMs);
    if (timestamps !== undefined && position <= this.#receiver.acknowledged)
      this.#timestamps.update(timestamps.value, nowMs);
    const verdict = this.#extension?.onSegment(segment, position, nowMs) ?? "accept";
    if (verdict === "ignore" || this.#closeReason !== undefined) return;
    if (verdict === "reset") return this.reset(nowMs);
    if (this.#state === "synReceived") {
      this.#change("receiveAckOfSyn");
      this.#establish(nowMs);
    }
    this.#acknowledge(segment, acknowledged, position, nowMs);
    this.#takeText(segment, position, nowMs);
  }

  /** RFC 9293 section 3.10.7.4, first check. With a closed window the next position is still good for what is not data. */
  #isAcceptable({ flags, payload }: TcpSegment, position: number): boolean {
    const { next, edge } = this.#receiver;
    const length = payload.length + ((flags & (TCP_FLAG.syn | TCP_FLAG.fin)) === 0 ? 0 : 1);
    if (position === next) return true;
    if (length === 0) return position > next && position <= edge;
    return position < edge && position + length > next;
  }

  #answerUnacceptable({ flags, payload }: TcpSegment, position: number, nowMs: number): void {
    if ((flags & TCP_FLAG.syn) !== 0 && position === 0 && this.#state === "synReceived") {
      this.#synDue = true;
      return;
    }
    if (this.#state === "timeWait") this.#timers.set("linger", nowMs + this.#settings.timeWaitMs);
    const repeated = payload.length > 0 && position + payload.length <= this.#receiver.next && position > 0;
    if (!repeated) return this.#challenge(nowMs);
    // Something that has arrived comes again: our acknowledgement was lost.
    this.#heard(nowMs);
    this.#receiver.onData(position, payload, false, nowMs);
  }

  /** RFC 5961 section 3.2. */
  #onReset(segment: TcpSegment, position: number, nowMs: number): void {
    // RFC 1337: what is over is not ended once more.
    if (this.#state === "timeWait") return;
    if (position !== this.#receiver.next) return this.#challenge(nowMs);
    this.#extension?.onSegment(segment, position, nowMs);
    this.#end("abort", "reset");
  }

  /** RFC 5961 section 5.2; in SYN-RECEIVED only what acknowledges our SYN. */
  #isAcknowledgementAcceptable(acknowledged: number): boolean {
    const { sender } = this;
    if (acknowledged > sender.next) return false;
    if (this.#state === "synReceived") return acknowledged >= 1;
    return acknowledged >= sender.acknowledged - Math.max(sender.largestWindowBytes, 1);
  }

  #onUnacceptableAcknowledgement(segment: TcpSegment, nowMs: number): void {
    if (this.#state !== "synReceived") return this.#challenge(nowMs);
    this.#resetDue = { sequence: segment.acknowledgment, acknowledge: false };
  }

  #challenge(nowMs: number): void {
    if (this.#challenges.take(nowMs)) this.#receiver.acknowledgeNow();
  }

  #heard(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#keepalives = 0;
  }

  #acknowledge(segment: TcpSegment, acknowledged: number, position: number, nowMs: number): void {
    const { sender } = this;
    const { payload, flags, options } = segment;
    const edge = sender.windowEdge;
    const shift = (flags & TCP_FLAG.syn) === 0 ? this.#peerShift : 0;
    sender.updateWindow({
      sequence: position,
      acknowledgement: acknowledged,
      windowBytes: segment.window * 2 ** shift,
    });
    const blocks = this.#readBlocks(segment);
    const duplicateReported = isDuplicateReport(blocks, acknowledged);
    const echo = this.#usesTimestamps ? findOption(options, "timestamps")?.echoReply : undefined;
    const fin = (flags & TCP_FLAG.fin) !== 0;
    const newlyAcknowledged = sender.onAcknowledgement(
      {
        position: acknowledged,
        blocks: blocks.filter(({ start, end }) => start >= acknowledged && end <= sender.next && end > start),
        duplicateReported,
        mayBeDuplicate:
          acknowledged === sender.acknowledged && payload.length === 0 && !fin && sender.windowEdge === edge,
        echoedMs: echo === undefined ? undefined : this.#timestamps.sentMs(echo, nowMs),
      },
      nowMs,
    );
    if (newlyAcknowledged > 0) this.#onProgress(nowMs);
    if (sender.finAcknowledged) this.#onFinAcknowledged(nowMs);
  }

  #onProgress(nowMs: number): void {
    if (this.#pathSize.onProgress(nowMs)) this.#resize();
    if (!this.#writeBlocked) return;
    this.#writeBlocked = false;
    this.#tell("writable");
  }

  #onFinAcknowledged(nowMs: number): void {
    if (this.#state === "finWait1") {
      this.#change("receiveAckOfFin");
      if (this.#orphan) this.#timers.set("linger", nowMs + this.#settings.orphanMs);
    } else if (this.#state === "closing") {
      this.#change("receiveAckOfFin");
      this.#waitAfterEnd(nowMs);
    } else if (this.#state === "lastAck") this.#end("receiveAckOfFin", "finished");
  }

  #readBlocks({ options }: TcpSegment): Interval[] {
    const sack = this.#usesSelective ? findOption(options, "sack") : undefined;
    if (sack === undefined) return [];
    const position = (sequence: number) => toPosition(this.#initialSequence, sequence, this.sender.next);
    return sack.blocks.map(({ left, right }) => ({ start: position(left), end: position(right) }));
  }

  /** RFC 9293 section 3.10.7.4, sixth to eighth check. Urgent data stays in its place among the other data (RFC 6093). */
  #takeText({ payload, flags }: TcpSegment, position: number, nowMs: number): void {
    const fin = (flags & TCP_FLAG.fin) !== 0;
    if ((payload.length === 0 && !fin) || this.#receiver.finReached || !mayReceive(this.#state)) {
      if (payload.length > 0 || fin) this.#receiver.acknowledgeNow();
      // Data for which there is nobody any more: the peer must not think that it arrived.
      return;
    }
    const room = Math.max(0, this.#receiver.edge - position);
    const whole = payload.length <= room;
    const readable = this.#receiver.readableBytes;
    this.#receiver.onData(position, whole ? payload : payload.subarray(0, room), fin && whole, nowMs);
    if (this.#receiver.readableBytes > readable) {
      if (this.#orphan) return this.reset(nowMs);
      this.#tell("readable");
    }
    if (this.#receiver.finReached) this.#onFin(nowMs);
  }

  #onFin(nowMs: number): void {
    this.#change("receiveFin");
    this.#tell("ended");
    if (this.#state === "timeWait") this.#waitAfterEnd(nowMs);
  }

  // The handshake.

  #takeSyn(segment: TcpSegment, nowMs: number): void {
    this.#peerInitialSequence = segment.sequence;
    this.#agree(readSynOptions(segment, isIpv4(this.remote.address) ? "ipv4" : "ipv6"), nowMs);
    if (this.#peerSyn?.timestamps !== undefined) this.#timestamps.update(this.#peerSyn.timestamps.value, nowMs);
  }

  #agree(peerSyn: SynOptions, nowMs: number): void {
    this.#peerSyn = peerSyn;
    this.#heard(nowMs);
    this.#usesTimestamps = this.#settings.timestamps && peerSyn.timestamps !== undefined;
    this.#usesSelective = this.#settings.selectiveAcknowledgements && peerSyn.selective;
    this.#peerShift = peerSyn.windowShift ?? 0;
    this.#receiver.setScale(peerSyn.windowShift === undefined ? 0 : windowShiftFor(this.#settings.receiveBufferBytes));
    this.#pathSize = new PathSegmentSize(Math.min(peerSyn.maximumSegmentBytes, this.#settings.maximumSegmentBytes));
  }

  /** Both SYNs are known: congestion control begins. */
  #begin(): void {
    const segmentBytes = this.#payloadBytes;
    const congestion = this.#settings.congestion.create(segmentBytes);
    this.sender.begin({ congestion, selective: this.#usesSelective, segmentBytes });
  }

  /** RFC 6691: what is left of a segment when the options that every one has are in it. */
  get #payloadBytes(): number {
    const options = (this.#usesTimestamps ? TIMESTAMP_BYTES : 0) + (this.#extension?.dataOptionBytes ?? 0);
    return Math.max(1, this.#pathSize.bytes - Math.min(options, MOST_OPTION_BYTES));
  }

  #resize(): void {
    this.sender.setSegmentBytes(this.#payloadBytes);
  }

  /** Sends the SYN, or SYN-ACK, and does so again until it is answered (RFC 6298 section 5). */
  #startSyn(nowMs: number): void {
    this.#synDue = true;
    const first = !this.#timers.isSet("giveUp");
    if (first) this.#timers.set("giveUp", nowMs + this.#settings.synGiveUpMs);
    else this.roundTrip.backOff();
    this.#timers.set("retransmission", nowMs + this.roundTrip.timeoutMs);
    this.#synSentMs = nowMs;
    this.#synAttempts += 1;
  }

  #establish(nowMs: number): void {
    if (this.#synAttempts === 1) this.roundTrip.onMeasured(nowMs - this.#synSentMs, nowMs);
    else if (this.#synAttempts > 1) this.roundTrip.onLostSyn();
    this.#timers.clear("retransmission");
    this.#timers.clear("giveUp");
    this.#synDue = false;
    if (this.#settings.keepaliveMs !== undefined) this.#timers.set("keepalive", nowMs + this.#settings.keepaliveMs);
    this.#tell("connected");
    this.#closeIfDue();
  }

  // Segments out.

  /** The next segment to send, or undefined when there is none for now. */
  pollTransmit(nowMs: number): TcpSegment | undefined {
    if (this.#resetDue !== undefined) return this.#makeReset(nowMs);
    if (this.#state === "closed") return undefined;
    if (this.#synDue) return this.#makeSyn(nowMs);
    if (this.#state === "synSent") return undefined;
    if (maySend(this.#state) || (this.#state === "synReceived" && this.#fastOpened)) {
      const next = this.sender.nextTransmission(nowMs);
      if (next !== undefined) {
        const flags =
          TCP_FLAG.ack | (next.fin ? TCP_FLAG.fin : 0) | (next.push && next.payload.length > 0 ? TCP_FLAG.psh : 0);
        return this.#make(flags, next.start, next.payload, nowMs);
      }
    }
    if (this.#probeDue) {
      this.#probeDue = false;
      return this.#make(TCP_FLAG.ack, this.sender.acknowledged - 1, NO_BYTES, nowMs);
    }
    if (this.#receiver.acknowledgementDue) return this.#make(TCP_FLAG.ack, this.sender.next, NO_BYTES, nowMs);
    return undefined;
  }

  #makeReset(nowMs: number): TcpSegment {
    const { sequence = 0, acknowledge = false } = this.#resetDue ?? {};
    this.#resetDue = undefined;
    const flags = TCP_FLAG.rst | (acknowledge ? TCP_FLAG.ack : 0);
    const options = acknowledge
      ? (this.#extension?.options({
          flags,
          start: this.sender.next,
          payload: NO_BYTES,
          nowMs,
          roomBytes: MOST_OPTION_BYTES,
        }) ?? [])
      : [];
    return this.#header({ flags, sequence, window: 0, options, payload: NO_BYTES });
  }

  #makeSyn(nowMs: number): TcpSegment {
    this.#synDue = false;
    const passive = this.#state === "synReceived";
    const flags = TCP_FLAG.syn | (passive ? TCP_FLAG.ack : 0);
    const { settings, peerSyn } = { settings: this.#settings, peerSyn: this.#peerSyn };
    const first = this.#synAttempts === 1;
    const cookie = first ? this.#open.fastOpenCookie : undefined;
    const options = writeSynOptions({
      maximumSegmentBytes: settings.maximumSegmentBytes,
      windowShift:
        passive && peerSyn?.windowShift === undefined ? undefined : windowShiftFor(settings.receiveBufferBytes),
      selective: passive ? this.#usesSelective : settings.selectiveAcknowledgements,
      timestamps: (passive ? this.#usesTimestamps : settings.timestamps)
        ? { value: this.#timestamps.value(nowMs), echoReply: this.#timestamps.echo }
        : undefined,
      fastOpenCookie: cookie,
    });
    const roomBytes = MOST_OPTION_BYTES - segmentOptionsByteLength(options);
    options.push(...(this.#extension?.options({ flags, start: 1, payload: NO_BYTES, nowMs, roomBytes }) ?? []));
    const payload = !passive && first && this.#open.dataInSyn ? this.#synPayload(options, nowMs) : NO_BYTES;
    if (passive) this.#receiver.onAcknowledged();
    return this.#header({
      flags,
      sequence: this.#initialSequence,
      window: this.#receiver.takeWindow(false),
      options,
      payload,
    });
  }

  #synPayload(options: readonly SegmentOption[], nowMs: number): Uint8Array {
    const optionBytes = (segmentOptionsByteLength(options) + 3) & ~3;
    return this.sender.takeForSyn(this.#pathSize.bytes - optionBytes, nowMs);
  }

  #make(flags: number, start: number, payload: Uint8Array, nowMs: number): TcpSegment {
    const options: SegmentOption[] = [];
    if (this.#usesTimestamps) {
      options.push({ type: "timestamps", value: this.#timestamps.value(nowMs), echoReply: this.#timestamps.echo });
    }
    const room = () => MOST_OPTION_BYTES - segmentOptionsByteLength(options);
    if (this.#extension !== undefined) {
      options.push(...this.#extension.options({ flags, start, payload, nowMs, roomBytes: room() }));
    }
    const whole = this.#addBlocks(options, room(), payload.length);
    if (whole) this.#receiver.onAcknowledged();
    const sequence = toSequence(this.#initialSequence, start);
    return this.#header({ flags, sequence, window: this.#receiver.takeWindow(true), options, payload });
  }

  /** Adds SACK where there is room for it; false when there was none for what should be said. */
  #addBlocks(options: SegmentOption[], roomBytes: number, payloadBytes: number): boolean {
    if (!this.#usesSelective) return true;
    const used = (segmentOptionsByteLength(options) + 3) & ~3;
    const room = payloadBytes === 0 ? roomBytes : Math.min(roomBytes, this.#pathSize.bytes - payloadBytes - used);
    const blocks = this.#receiver.blocks(Math.max(1, Math.floor((room - 2) / 8)));
    if (blocks.length === 0) return true;
    if (room < 10) return payloadBytes === 0;
    const sequence = (position: number) => toSequence(this.#peerInitialSequence, position);
    options.push({
      type: "sack",
      blocks: blocks.map(({ start, end }) => ({ left: sequence(start), right: sequence(end) })),
    });
    return true;
  }

  #header(part: Pick<TcpSegment, "flags" | "sequence" | "window" | "options" | "payload">): TcpSegment {
    const acknowledges = (part.flags & TCP_FLAG.ack) !== 0;
    return {
      sourcePort: this.local.port,
      destinationPort: this.remote.port,
      acknowledgment: acknowledges ? toSequence(this.#peerInitialSequence, this.#receiver.next) : 0,
      urgentPointer: 0,
      ...part,
    };
  }

  // States.

  #change(event: StateEvent): void {
    this.#state = transition(this.#state, event);
  }

  #tell(event: TcpEvent): void {
    if (!this.#events.includes(event)) this.#events.push(event);
  }

  #closeIfDue(): void {
    if (!this.#closeWanted || (this.#state !== "established" && this.#state !== "closeWait")) return;
    this.sender.finish();
    this.#change("close");
  }

  /** TIME-WAIT, for two maximum segment lifetimes (RFC 9293 section 3.6.1). */
  #waitAfterEnd(nowMs: number): void {
    this.sender.clear();
    this.#timers.clearAll();
    this.#timers.set("linger", nowMs + this.#settings.timeWaitMs);
  }

  #end(event: StateEvent, reason: CloseReason): void {
    if (this.#state === "closed") return;
    this.#change(event);
    this.#closeReason = reason;
    this.sender.clear();
    this.#receiver.clear();
    if (reason !== "finished" && this.#orphan) this.#receiver.discard();
    this.#timers.clearAll();
    this.#synDue = false;
    this.#tell("closed");
  }
}

const NO_BYTES = new Uint8Array(0);

/** RFC 2883 section 4: the first block lies below the acknowledgement, or within the second block. */
function isDuplicateReport(blocks: readonly Interval[], acknowledged: number): boolean {
  const [first, second] = blocks;
  if (first === undefined) return false;
  if (first.end <= acknowledged) return true;
  return second !== undefined && second.start <= first.start && first.end <= second.end;
}
