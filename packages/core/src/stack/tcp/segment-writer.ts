/** Makes a connection's segments: header, and options in the order timestamps, extension, SACK. */
import { toSequence } from "../../base/sequence.ts";
import { MOST_OPTION_BYTES, type SegmentOption, segmentOptionsByteLength } from "../../wire/tcp/options.ts";
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";
import type { TcpParts } from "./parts.ts";

/** A SYN, or SYN-ACK, to be made. */
export interface SynRequest {
  readonly answer: boolean;
  readonly fastOpenCookie: Uint8Array | undefined;
  /** Gives data for it, at most `mostBytes`. */
  readonly payload: (mostBytes: number) => Uint8Array;
}

const NO_BYTES = new Uint8Array(0);
/** A SACK option with one block, and each further block. */
const FIRST_BLOCK_BYTES = 10;
const BLOCK_BYTES = 8;

/** Our SYN, or SYN-ACK, as it is sent for the first time or again. */
export function makeSyn(parts: TcpParts, { answer, fastOpenCookie, payload }: SynRequest, nowMs: number): TcpSegment {
  const { agreement, receiver, timestamps, extension, initialSequence } = parts;
  const flags = TCP_FLAG.syn | (answer ? TCP_FLAG.ack : 0);
  const stamp = { value: timestamps.value(nowMs), echoReply: timestamps.echo };
  const own = agreement.synOptions(answer, stamp, fastOpenCookie);
  const roomBytes = MOST_OPTION_BYTES - segmentOptionsByteLength(own);
  const extra = extension?.options({ flags, start: 1, payload: NO_BYTES, nowMs, roomBytes }) ?? [];
  const fits = segmentOptionsByteLength(extra) <= roomBytes;
  // Where there is no room for both, the cookie stays away, and so does data.
  const options = [...(fits ? own : own.filter(({ type }) => type !== "fastOpen")), ...extra];
  const data = fits ? payload(agreement.pathSize.bytes - paddedBytes(options)) : NO_BYTES;
  if (answer) receiver.onAcknowledged();
  return withHeader(parts, {
    flags,
    sequence: initialSequence,
    window: receiver.takeWindow(false),
    options,
    payload: data,
  });
}

/** A reset of an established connection carries what the extension says of it. */
export function makeReset(parts: TcpParts, sequence: number, position: number | undefined, nowMs: number): TcpSegment {
  const flags = TCP_FLAG.rst | (position === undefined ? 0 : TCP_FLAG.ack);
  const outgoing = { flags, start: position ?? 0, payload: NO_BYTES, nowMs, roomBytes: MOST_OPTION_BYTES };
  const options = position === undefined ? [] : (parts.extension?.options(outgoing) ?? []);
  return withHeader(parts, { flags, sequence, window: 0, options, payload: NO_BYTES });
}

/** Any other segment; it acknowledges. */
export function makeSegment(
  parts: TcpParts,
  flags: number,
  start: number,
  payload: Uint8Array,
  nowMs: number,
): TcpSegment {
  const { agreement, receiver, timestamps, extension, initialSequence } = parts;
  const options: SegmentOption[] = [];
  if (agreement.usesTimestamps) {
    options.push({ type: "timestamps", value: timestamps.value(nowMs), echoReply: timestamps.echo });
  }
  if (extension !== undefined) {
    const roomBytes = MOST_OPTION_BYTES - segmentOptionsByteLength(options);
    options.push(...extension.options({ flags, start, payload, nowMs, roomBytes }));
  }
  if (addBlocks(parts, options, payload.length)) receiver.onAcknowledged();
  if (extension?.hasSignals) receiver.acknowledgeNow();
  const sequence = toSequence(initialSequence, start);
  return withHeader(parts, { flags, sequence, window: receiver.takeWindow(true), options, payload });
}

/**
 * Adds SACK. Returns false where there was no room beside data for what should be said: a segment without data is to
 * follow.
 */
function addBlocks(parts: TcpParts, options: SegmentOption[], payloadBytes: number): boolean {
  const { agreement, receiver } = parts;
  if (!agreement.usesSelective || !receiver.hasBlocks) return true;
  // What the path leaves for options, which fill whole words.
  const allowed = payloadBytes === 0 ? MOST_OPTION_BYTES : (agreement.pathSize.bytes - payloadBytes) & ~3;
  const room = Math.min(MOST_OPTION_BYTES, allowed) - segmentOptionsByteLength(options);
  if (room < FIRST_BLOCK_BYTES) return payloadBytes === 0;
  const blocks = receiver.blocks(1 + Math.floor((room - FIRST_BLOCK_BYTES) / BLOCK_BYTES));
  const sequence = (position: number) => toSequence(agreement.peerInitialSequence, position);
  options.push({
    type: "sack",
    blocks: blocks.map(({ start, end }) => ({ left: sequence(start), right: sequence(end) })),
  });
  return true;
}

function withHeader(
  parts: TcpParts,
  part: Pick<TcpSegment, "flags" | "sequence" | "window" | "options" | "payload">,
): TcpSegment {
  const { local, remote, agreement, receiver } = parts;
  const acknowledges = (part.flags & TCP_FLAG.ack) !== 0;
  return {
    sourcePort: local.port,
    destinationPort: remote.port,
    acknowledgment: acknowledges ? toSequence(agreement.peerInitialSequence, receiver.next) : 0,
    urgentPointer: 0,
    ...part,
  };
}

function paddedBytes(options: readonly SegmentOption[]): number {
  return (segmentOptionsByteLength(options) + 3) & ~3;
}
