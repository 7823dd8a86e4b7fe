/**
 * What is to be known of a segment that has arrived: RFC 9293 section 3.10.7.4. Positions are in the streams
 * (base/sequence.ts).
 */
import { toPosition } from "../../base/sequence.ts";
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";
import { findOption } from "./handshake.ts";
import type { Interval } from "./sent-queue.ts";

/** RCV.NXT, and RCV.NXT + RCV.WND. */
export interface ReceiveWindow {
  readonly next: number;
  readonly edge: number;
}

/**
 * The first check: whether the segment is in the window. With a closed window the next position is still good for what
 * is not data.
 */
export function isAcceptable({ flags, payload }: TcpSegment, position: number, { next, edge }: ReceiveWindow): boolean {
  const length = payload.length + ((flags & (TCP_FLAG.syn | TCP_FLAG.fin)) === 0 ? 0 : 1);
  if (position === next) return true;
  if (length === 0) return position > next && position <= edge;
  return position < edge && position + length > next;
}

/** What a segment acknowledges selectively. */
export interface SelectiveBlocks {
  /** Above the cumulative acknowledgement, and of what was sent. */
  readonly blocks: readonly Interval[];
  /**
   * RFC 2883 section 4: the first block, where it lies below the acknowledgement or within the second one: it has
   * arrived twice.
   */
  readonly duplicate: Interval | undefined;
}

export const NO_BLOCKS: SelectiveBlocks = { blocks: [], duplicate: undefined };

/**
 * RFC 9293 section 3.10.7.3: what is to be done about a segment in SYN-SENT; `acknowledged` is SEG.ACK as a position,
 * `next` SND.NXT.
 */
export function judgeInSynSent(
  { flags }: TcpSegment,
  acknowledged: number,
  next: number,
): "take" | "drop" | "refused" | "answerReset" {
  const has = (flag: number) => (flags & flag) !== 0;
  const sound = has(TCP_FLAG.ack) && acknowledged >= 1 && acknowledged <= next;
  if (has(TCP_FLAG.rst)) return sound ? "refused" : "drop";
  if (has(TCP_FLAG.ack) && !sound) return "answerReset";
  return has(TCP_FLAG.syn) ? "take" : "drop";
}

/** Reads SACK. `acknowledged` and `next` are SEG.ACK and SND.NXT as positions; what makes no sense is ignored. */
export function readBlocks(
  { options }: TcpSegment,
  initialSequence: number,
  acknowledged: number,
  next: number,
): SelectiveBlocks {
  const sack = findOption(options, "sack");
  if (sack === undefined) return NO_BLOCKS;
  const position = (sequence: number) => toPosition(initialSequence, sequence, next);
  const all = sack.blocks.map(({ left, right }) => ({ start: position(left), end: position(right) }));
  const [first, second] = all;
  const below = first !== undefined && first.end <= acknowledged;
  const within = first !== undefined && second !== undefined && second.start <= first.start && first.end <= second.end;
  return {
    blocks: all.filter(({ start, end }) => start >= acknowledged && start < end && end <= next),
    duplicate: below || within ? first : undefined,
  };
}
