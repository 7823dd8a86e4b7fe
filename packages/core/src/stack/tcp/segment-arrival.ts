/**
 * Takes the segments of a connection: RFC 9293 section 3.10.7, whose order of checks this file keeps, with those of RFC
 * 5961 (blind attacks) and RFC 7323 (timestamps).
 */
import { toPosition } from "../../base/sequence.ts";
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";
import { isAcceptable, judgeInSynSent, NO_BLOCKS, readBlocks } from "./arrival.ts";
import { ChallengeLimit } from "./challenge-limit.ts";
import { closeIfDue, endConnection, onFinAcknowledged, onFinReceived, resetConnection } from "./ending.ts";
import { findOption, readSynOptions, type SynOptions } from "./handshake.ts";
import { payloadBytes, resizeSegments, type TcpParts } from "./parts.ts";
import { mayReceive } from "./state.ts";

export class SegmentArrival {
  readonly #parts: TcpParts;

  constructor(parts: TcpParts) {
    this.#parts = parts;
  }

  /** Takes a segment whose checksum was sound. */
  receive(segment: TcpSegment, nowMs: number): void {
    const { state } = this.#parts.life;
    if (state === "closed" || state === "listen") return;
    if (state === "synSent") this.#receiveInSynSent(segment, nowMs);
    else this.#receiveOther(segment, nowMs);
  }

  /** LISTEN: takes the SYN that begins a connection; with `takeData` what it carries too. */
  receiveSyn(syn: TcpSegment, takeData: boolean, nowMs: number): void {
    const { life, extension, receiver } = this.#parts;
    this.#takeSyn(syn, 1, nowMs);
    life.change("receiveSyn");
    extension?.onSegment(syn, 1, nowMs);
    this.#begin();
    if (!takeData || syn.payload.length === 0) return;
    if (receiver.onData(1, syn.payload, false, nowMs)) life.tell("readable");
  }

  /** What is known of a SYN of which nothing was kept. */
  receiveCookie(peerInitialSequence: number, peerSyn: SynOptions, nowMs: number): void {
    this.#parts.life.change("receiveSyn");
    this.#agree(peerInitialSequence, peerSyn, nowMs);
    this.#begin();
    this.#parts.receiver.onAcknowledged();
  }

  /** Section 3.10.7.3. */
  #receiveInSynSent(segment: TcpSegment, nowMs: number): void {
    const { life, sender, extension, initialSequence } = this.#parts;
    const acknowledged = toPosition(initialSequence, segment.acknowledgment, sender.next);
    const judgement = judgeInSynSent(segment, acknowledged, sender.next);
    if (judgement === "answerReset") life.pendingReset = { sequence: segment.acknowledgment };
    if (judgement === "refused") endConnection(this.#parts, "abort", "refused");
    if (judgement !== "take") return;
    const answers = (segment.flags & TCP_FLAG.ack) !== 0;
    this.#takeSyn(segment, answers ? acknowledged : 1, nowMs);
    const verdict = extension?.onSegment(segment, 1, nowMs) ?? "accept";
    this.#begin();
    if (verdict === "reset" || !answers) {
      life.change("receiveSyn");
      // Simultaneous open (section 3.5, figure 7): both have sent a SYN, and now both answer.
      return verdict === "reset" ? resetConnection(this.#parts, "aborted") : this.#parts.syn?.start(nowMs);
    }
    life.change("receiveSynAck");
    this.#establish(nowMs);
    this.#acknowledge(segment, acknowledged, 0, nowMs);
    if (acknowledged < sender.next) sender.onSynDataIgnored();
    this.#takeText(segment, 1, nowMs);
    this.#parts.receiver.acknowledgeNow();
  }

  /** Section 3.10.7.4. */
  #receiveOther(segment: TcpSegment, nowMs: number): void {
    const { life, sender, receiver, agreement, timestamps, initialSequence } = this.#parts;
    const { flags } = segment;
    const position = toPosition(agreement.peerInitialSequence, segment.sequence, receiver.next);
    const acknowledged = toPosition(initialSequence, segment.acknowledgment, sender.next);
    if (this.#answersOurAnswer(segment, position, acknowledged))
      return this.#onSimultaneousOpen(segment, acknowledged, nowMs);
    const stamp = agreement.usesTimestamps ? findOption(segment.options, "timestamps") : undefined;
    const reset = (flags & TCP_FLAG.rst) !== 0;
    if (!reset && stamp !== undefined && timestamps.isOld(stamp.value, nowMs)) return this.#challenge(nowMs);
    if (!isAcceptable(segment, position, receiver)) {
      if (!reset) this.#answerUnacceptable(segment, position, nowMs);
      return;
    }
    if (reset) return this.#onReset(segment, position, nowMs);
    // RFC 5961 section 4.2.
    if ((flags & TCP_FLAG.syn) !== 0) return this.#challenge(nowMs);
    if ((flags & TCP_FLAG.ack) === 0) return;
    if (!this.#isAcknowledgementAcceptable(acknowledged)) return this.#onUnacceptableAcknowledgement(segment, nowMs);
    if (stamp !== undefined && position <= receiver.acknowledged) timestamps.update(stamp.value, nowMs);
    if (!this.#ask(segment, position, nowMs)) return;
    if (life.state === "synReceived") {
      life.change("receiveAckOfSyn");
      this.#establish(nowMs);
    }
    this.#acknowledge(segment, acknowledged, position, nowMs);
    this.#takeText(segment, position, nowMs);
  }

  /** Lets the extension see an acceptable segment; returns whether to go on with it. */
  #ask(segment: TcpSegment, position: number, nowMs: number): boolean {
    const { life, extension, keepalive } = this.#parts;
    keepalive?.onHeard(nowMs);
    const verdict = extension?.onSegment(segment, position, nowMs) ?? "accept";
    if (verdict === "reset") resetConnection(this.#parts, "aborted");
    return verdict === "accept" && life.closeReason === undefined;
  }

  /** Simultaneous open: the peer answers our SYN as we have answered its. */
  #answersOurAnswer({ flags }: TcpSegment, position: number, acknowledged: number): boolean {
    const both = TCP_FLAG.syn | TCP_FLAG.ack;
    const { life, sender } = this.#parts;
    return (
      life.state === "synReceived" &&
      position === 0 &&
      (flags & both) === both &&
      acknowledged >= 1 &&
      acknowledged <= sender.next
    );
  }

  #onSimultaneousOpen(segment: TcpSegment, acknowledged: number, nowMs: number): void {
    if (!this.#ask(segment, 1, nowMs)) return;
    this.#parts.life.change("receiveAckOfSyn");
    this.#establish(nowMs);
    this.#acknowledge(segment, acknowledged, 0, nowMs);
    this.#parts.receiver.acknowledgeNow();
  }

  #answerUnacceptable({ flags, payload }: TcpSegment, position: number, nowMs: number): void {
    const { life, timers, settings, syn, receiver } = this.#parts;
    if ((flags & TCP_FLAG.syn) !== 0 && position === 0 && life.state === "synReceived") return syn?.repeat();
    if (life.state === "timeWait") timers.set("linger", nowMs + settings.timeWaitMs);
    const repeated = payload.length > 0 && position > 0 && position + payload.length <= receiver.next;
    // Data that has arrived comes again: our acknowledgement was lost. It gets another one however often that happens.
    if (repeated) receiver.onData(position, payload, false, nowMs);
    else this.#challenge(nowMs);
  }

  /** RFC 5961 section 3.2. */
  #onReset(segment: TcpSegment, position: number, nowMs: number): void {
    const { life, receiver, extension } = this.#parts;
    // RFC 1337: what is over is not ended once more.
    if (life.state === "timeWait") return;
    if (position !== receiver.next && !extension?.isAuthenticReset(segment)) return this.#challenge(nowMs);
    extension?.onSegment(segment, position, nowMs);
    endConnection(this.#parts, "abort", "reset");
  }

  /** RFC 5961 section 5.2; in SYN-RECEIVED only what acknowledges our SYN. */
  #isAcknowledgementAcceptable(acknowledged: number): boolean {
    const { life, sender } = this.#parts;
    if (acknowledged > sender.next) return false;
    if (life.state === "synReceived") return acknowledged >= 1;
    return acknowledged >= sender.acknowledged - sender.largestWindowBytes;
  }

  #onUnacceptableAcknowledgement(segment: TcpSegment, nowMs: number): void {
    const { life } = this.#parts;
    if (life.state === "synReceived") life.pendingReset = { sequence: segment.acknowledgment };
    else this.#challenge(nowMs);
  }

  #challenge(nowMs: number): void {
    this.#parts.challenges ??= new ChallengeLimit();
    if (this.#parts.challenges.take(nowMs)) this.#parts.receiver.acknowledgeNow();
  }

  /** Fifth check: what the segment acknowledges, and the window that it tells. */
  #acknowledge(segment: TcpSegment, acknowledged: number, position: number, nowMs: number): void {
    const { sender, agreement, timestamps, initialSequence } = this.#parts;
    const { payload, flags, options } = segment;
    const edge = sender.windowEdge;
    const shift = (flags & TCP_FLAG.syn) === 0 ? agreement.peerShift : 0;
    const windowBytes = segment.window * 2 ** shift;
    sender.updateWindow({ sequence: position, acknowledgement: acknowledged, windowBytes });
    const selective = agreement.usesSelective
      ? readBlocks(segment, initialSequence, acknowledged, sender.next)
      : NO_BLOCKS;
    const echo = agreement.usesTimestamps ? findOption(options, "timestamps")?.echoReply : undefined;
    const bare = payload.length === 0 && (flags & TCP_FLAG.fin) === 0;
    const mayBeDuplicate = bare && acknowledged === sender.acknowledged && sender.windowEdge === edge;
    const echoedMs = echo === undefined ? undefined : timestamps.sentMs(echo, nowMs);
    const bytes = sender.onAcknowledgement({ position: acknowledged, ...selective, mayBeDuplicate, echoedMs }, nowMs);
    if (bytes > 0) this.#onProgress(nowMs);
    if (sender.finAcknowledged) onFinAcknowledged(this.#parts, nowMs);
  }

  #onProgress(nowMs: number): void {
    const { agreement, sender, life } = this.#parts;
    if (agreement.pathSize.onProgress(nowMs)) resizeSegments(this.#parts);
    if (sender.takeUnblocked()) life.tell("writable");
  }

  /** Sixth to eighth check. Urgent data stays in its place among the other data (RFC 6093). */
  #takeText({ payload, flags }: TcpSegment, position: number, nowMs: number): void {
    const { life, receiver } = this.#parts;
    const fin = (flags & TCP_FLAG.fin) !== 0;
    if (payload.length === 0 && !fin) return;
    if (receiver.finReached || !mayReceive(life.state)) return receiver.acknowledgeNow();
    const room = Math.max(0, receiver.edge - position);
    const whole = payload.length <= room;
    const readable = receiver.readableBytes;
    receiver.onData(position, whole ? payload : payload.subarray(0, room), fin && whole, nowMs);
    if (receiver.readableBytes > readable) {
      // There is nobody any more who reads it, and the peer must not think that it was read.
      if (life.isOrphan) return resetConnection(this.#parts, "aborted");
      life.tell("readable");
    }
    if (receiver.finReached) onFinReceived(this.#parts, nowMs);
  }

  #takeSyn(segment: TcpSegment, acknowledged: number, nowMs: number): void {
    const { isIpv4, timestamps, sender } = this.#parts;
    const syn = readSynOptions(segment, isIpv4 ? "ipv4" : "ipv6");
    this.#agree(segment.sequence, syn, nowMs);
    if (syn.timestamps !== undefined) timestamps.update(syn.timestamps.value, nowMs);
    sender.updateWindow({ sequence: 0, acknowledgement: acknowledged, windowBytes: segment.window });
  }

  #agree(peerInitialSequence: number, peerSyn: SynOptions, nowMs: number): void {
    const { agreement, receiver, keepalive } = this.#parts;
    agreement.agree(peerInitialSequence, peerSyn);
    receiver.setScale(agreement.shift);
    keepalive?.onHeard(nowMs);
  }

  /** Both SYNs are known: congestion control begins. */
  #begin(): void {
    const { sender, settings, agreement } = this.#parts;
    const segmentBytes = payloadBytes(this.#parts);
    const congestion = settings.congestion.create(segmentBytes);
    sender.begin({ congestion, selective: agreement.usesSelective, segmentBytes });
  }

  #establish(nowMs: number): void {
    const { syn, sender, keepalive, life } = this.#parts;
    syn?.onAnswered(nowMs);
    this.#parts.syn = undefined;
    sender.recovery.restartTimers(nowMs);
    keepalive?.start(nowMs);
    life.tell("connected");
    closeIfDue(this.#parts);
  }
}
