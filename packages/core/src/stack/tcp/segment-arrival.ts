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

/** Takes a segment whose checksum was sound. */
export function receiveSegment(parts: TcpParts, segment: TcpSegment, nowMs: number): void {
  const { state } = parts.life;
  if (state === "closed" || state === "listen") return;
  if (state === "synSent") receiveInSynSent(parts, segment, nowMs);
  else receiveOther(parts, segment, nowMs);
}

/** LISTEN: takes the SYN that begins a connection; with `takeData` what it carries too. */
export function receiveSyn(parts: TcpParts, syn: TcpSegment, takeData: boolean, nowMs: number): void {
  const { life, extension, receiver } = parts;
  takeSyn(parts, syn, 1, nowMs);
  life.change("receiveSyn");
  extension?.onSegment(syn, 1, nowMs);
  begin(parts);
  if (!takeData || syn.payload.length === 0) return;
  if (receiver.onData(1, syn.payload, false, nowMs)) life.tell("readable");
}

/** What is known of a SYN of which nothing was kept. */
export function receiveCookie(parts: TcpParts, peerInitialSequence: number, peerSyn: SynOptions, nowMs: number): void {
  parts.life.change("receiveSyn");
  agree(parts, peerInitialSequence, peerSyn, nowMs);
  begin(parts);
  parts.receiver.onAcknowledged();
}

/** Section 3.10.7.3. */
function receiveInSynSent(parts: TcpParts, segment: TcpSegment, nowMs: number): void {
  const { life, sender, extension, initialSequence } = parts;
  const acknowledged = toPosition(initialSequence, segment.acknowledgment, sender.next);
  const judgement = judgeInSynSent(segment, acknowledged, sender.next);
  if (judgement === "answerReset") life.pendingReset = { sequence: segment.acknowledgment };
  if (judgement === "refused") endConnection(parts, "abort", "refused");
  if (judgement !== "take") return;
  const answers = (segment.flags & TCP_FLAG.ack) !== 0;
  takeSyn(parts, segment, answers ? acknowledged : 1, nowMs);
  const verdict = extension?.onSegment(segment, 1, nowMs) ?? "accept";
  begin(parts);
  if (verdict === "reset" || !answers) {
    life.change("receiveSyn");
    // Simultaneous open (section 3.5, figure 7): both have sent a SYN, and now both answer.
    return verdict === "reset" ? resetConnection(parts, "aborted") : parts.syn?.start(nowMs);
  }
  life.change("receiveSynAck");
  establish(parts, nowMs);
  acknowledge(parts, segment, acknowledged, 0, nowMs);
  if (acknowledged < sender.next) sender.onSynDataIgnored();
  takeText(parts, segment, 1, nowMs);
  parts.receiver.acknowledgeNow();
}

/** Section 3.10.7.4. */
function receiveOther(parts: TcpParts, segment: TcpSegment, nowMs: number): void {
  const { life, sender, receiver, agreement, timestamps, initialSequence } = parts;
  const { flags } = segment;
  const position = toPosition(agreement.peerInitialSequence, segment.sequence, receiver.next);
  const acknowledged = toPosition(initialSequence, segment.acknowledgment, sender.next);
  if (answersOurAnswer(parts, segment, position, acknowledged))
    return onSimultaneousOpen(parts, segment, acknowledged, nowMs);
  const stamp = agreement.usesTimestamps ? findOption(segment.options, "timestamps") : undefined;
  const reset = (flags & TCP_FLAG.rst) !== 0;
  if (!reset && stamp !== undefined && timestamps.isOld(stamp.value, nowMs)) return challenge(parts, nowMs);
  if (!isAcceptable(segment, position, receiver)) {
    if (!reset) answerUnacceptable(parts, segment, position, nowMs);
    return;
  }
  if (reset) return onReset(parts, segment, position, nowMs);
  // RFC 5961 section 4.2.
  if ((flags & TCP_FLAG.syn) !== 0) return challenge(parts, nowMs);
  if ((flags & TCP_FLAG.ack) === 0) return;
  if (!isAcknowledgementAcceptable(parts, acknowledged)) return onUnacceptableAcknowledgement(parts, segment, nowMs);
  if (stamp !== undefined && position <= receiver.acknowledged) timestamps.update(stamp.value, nowMs);
  if (!ask(parts, segment, position, nowMs)) return;
  if (life.state === "synReceived") {
    life.change("receiveAckOfSyn");
    establish(parts, nowMs);
  }
  acknowledge(parts, segment, acknowledged, position, nowMs);
  takeText(parts, segment, position, nowMs);
}

/** Lets the extension see an acceptable segment; returns whether to go on with it. */
function ask(parts: TcpParts, segment: TcpSegment, position: number, nowMs: number): boolean {
  const { life, extension, keepalive } = parts;
  keepalive?.onHeard(nowMs);
  const verdict = extension?.onSegment(segment, position, nowMs) ?? "accept";
  if (verdict === "reset") resetConnection(parts, "aborted");
  return verdict === "accept" && life.closeReason === undefined;
}

/** Simultaneous open: the peer answers our SYN as we have answered its. */
function answersOurAnswer(parts: TcpParts, { flags }: TcpSegment, position: number, acknowledged: number): boolean {
  const both = TCP_FLAG.syn | TCP_FLAG.ack;
  const { life, sender } = parts;
  return (
    life.state === "synReceived" &&
    position === 0 &&
    (flags & both) === both &&
    acknowledged >= 1 &&
    acknowledged <= sender.next
  );
}

function onSimultaneousOpen(parts: TcpParts, segment: TcpSegment, acknowledged: number, nowMs: number): void {
  if (!ask(parts, segment, 1, nowMs)) return;
  parts.life.change("receiveAckOfSyn");
  establish(parts, nowMs);
  acknowledge(parts, segment, acknowledged, 0, nowMs);
  parts.receiver.acknowledgeNow();
}

function answerUnacceptable(parts: TcpParts, { flags, payload }: TcpSegment, position: number, nowMs: number): void {
  const { life, timers, settings, syn, receiver } = parts;
  if ((flags & TCP_FLAG.syn) !== 0 && position === 0 && life.state === "synReceived") return syn?.repeat();
  if (life.state === "timeWait") timers.set("linger", nowMs + settings.timeWaitMs);
  const repeated = payload.length > 0 && position > 0 && position + payload.length <= receiver.next;
  // Data that has arrived comes again: our acknowledgement was lost. It gets another one however often that happens.
  if (repeated) receiver.onData(position, payload, false, nowMs);
  else challenge(parts, nowMs);
}

/** RFC 5961 section 3.2. */
function onReset(parts: TcpParts, segment: TcpSegment, position: number, nowMs: number): void {
  const { life, receiver, extension } = parts;
  // RFC 1337: what is over is not ended once more.
  if (life.state === "timeWait") return;
  if (position !== receiver.next && !extension?.isAuthenticReset(segment)) return challenge(parts, nowMs);
  extension?.onSegment(segment, position, nowMs);
  endConnection(parts, "abort", "reset");
}

/** RFC 5961 section 5.2; in SYN-RECEIVED only what acknowledges our SYN. */
function isAcknowledgementAcceptable(parts: TcpParts, acknowledged: number): boolean {
  const { life, sender } = parts;
  if (acknowledged > sender.next) return false;
  if (life.state === "synReceived") return acknowledged >= 1;
  return acknowledged >= sender.acknowledged - sender.largestWindowBytes;
}

function onUnacceptableAcknowledgement(parts: TcpParts, segment: TcpSegment, nowMs: number): void {
  const { life } = parts;
  if (life.state === "synReceived") life.pendingReset = { sequence: segment.acknowledgment };
  else challenge(parts, nowMs);
}

function challenge(parts: TcpParts, nowMs: number): void {
  parts.challenges ??= new ChallengeLimit();
  if (parts.challenges.take(nowMs)) parts.receiver.acknowledgeNow();
}

/** Fifth check: what the segment acknowledges, and the window that it tells. */
function acknowledge(
  parts: TcpParts,
  segment: TcpSegment,
  acknowledged: number,
  position: number,
  nowMs: number,
): void {
  const { sender, agreement, timestamps, initialSequence } = parts;
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
  if (bytes > 0) onProgress(parts, nowMs);
  if (sender.finAcknowledged) onFinAcknowledged(parts, nowMs);
}

function onProgress(parts: TcpParts, nowMs: number): void {
  const { agreement, sender, life } = parts;
  if (agreement.pathSize.onProgress(nowMs)) resizeSegments(parts);
  if (sender.takeUnblocked()) life.tell("writable");
}

/** Sixth to eighth check. Urgent data stays in its place among the other data (RFC 6093). */
function takeText(parts: TcpParts, { payload, flags }: TcpSegment, position: number, nowMs: number): void {
  const { life, receiver } = parts;
  const fin = (flags & TCP_FLAG.fin) !== 0;
  if (payload.length === 0 && !fin) return;
  if (receiver.finReached || !mayReceive(life.state)) return receiver.acknowledgeNow();
  const room = Math.max(0, receiver.edge - position);
  const whole = payload.length <= room;
  const readable = receiver.readableBytes;
  receiver.onData(position, whole ? payload : payload.subarray(0, room), fin && whole, nowMs);
  if (receiver.readableBytes > readable) {
    // There is nobody any more who reads it, and the peer must not think that it was read.
    if (life.isOrphan) return resetConnection(parts, "aborted");
    life.tell("readable");
  }
  if (receiver.finReached) onFinReceived(parts, nowMs);
}

function takeSyn(parts: TcpParts, segment: TcpSegment, acknowledged: number, nowMs: number): void {
  const { isIpv4, timestamps, sender } = parts;
  const syn = readSynOptions(segment, isIpv4 ? "ipv4" : "ipv6");
  agree(parts, segment.sequence, syn, nowMs);
  if (syn.timestamps !== undefined) timestamps.update(syn.timestamps.value, nowMs);
  sender.updateWindow({ sequence: 0, acknowledgement: acknowledged, windowBytes: segment.window });
}

function agree(parts: TcpParts, peerInitialSequence: number, peerSyn: SynOptions, nowMs: number): void {
  const { agreement, receiver, keepalive } = parts;
  agreement.agree(peerInitialSequence, peerSyn);
  receiver.setScale(agreement.shift);
  keepalive?.onHeard(nowMs);
}

/** Both SYNs are known: congestion control begins. */
function begin(parts: TcpParts): void {
  const { sender, settings, agreement, extension } = parts;
  const segmentBytes = payloadBytes(parts);
  const congestion = settings.congestion.create(segmentBytes, extension?.coupling);
  sender.begin({ congestion, selective: agreement.usesSelective, segmentBytes });
}

function establish(parts: TcpParts, nowMs: number): void {
  const { syn, sender, keepalive, life } = parts;
  syn?.onAnswered(nowMs);
  parts.syn = undefined;
  sender.recovery.restartTimers(nowMs);
  keepalive?.start(nowMs);
  life.tell("connected");
  closeIfDue(parts);
}
