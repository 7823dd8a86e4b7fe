/** A box that removes options it does not know, from all segments or from some (RFC 6824 section 6 has seen them all). */

import type { SegmentOption } from "../../wire/tcp/options.ts";
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";
import { FlowTable, flowEnds, flowKey } from "./flow-table.ts";
import { type Direction, type Middlebox, type Passed, passTcp } from "./middlebox.ts";

/**
 * Kinds of segments: the handshake's three, then what has payload and what has not. The third ACK is the first segment
 * without SYN that follows a SYN/ACK in the other direction, with payload or not.
 */
export type SegmentKind = "syn" | "synAck" | "thirdAck" | "data" | "ack";

export interface OptionStripperOptions {
  /** Of which options, by their type in `wire/tcp/options.ts`. "multipath" stands for all of Multipath TCP. */
  readonly options: readonly (SegmentOption["type"] | "multipath")[];
  /** From which segments; all when left out. */
  readonly from?: readonly SegmentKind[];
  /** Only in this direction; both when left out. */
  readonly direction?: Direction;
}

const PLAIN_TYPES: readonly SegmentOption["type"][] = [
  "maximumSegmentSize",
  "windowScale",
  "sackPermitted",
  "sack",
  "timestamps",
  "fastOpen",
  "unknown",
];

export class OptionStripper implements Middlebox {
  readonly #settings: OptionStripperOptions;
  /** Connections whose SYN/ACK was seen last, and in which direction it went. */
  readonly #answered = new FlowTable<{ synAckWent: Direction | undefined }>();

  constructor(settings: OptionStripperOptions) {
    this.#settings = settings;
  }

  onPacket(nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    return passTcp(packet, direction, (tcp) => {
      const flow = this.#answered.getOrMake(flowKey(flowEnds(tcp, direction)), nowMs, () => ({
        synAckWent: undefined,
      }));
      const kind = kindOf(tcp.segment, flow.synAckWent !== undefined && flow.synAckWent !== direction);
      if (kind === "synAck") flow.synAckWent = direction;
      if (kind === "thirdAck") flow.synAckWent = undefined;
      const concerned = this.#concerns(kind, direction);
      return [{ direction, packet: concerned ? { ...tcp, segment: this.#strip(tcp.segment) } : tcp }];
    });
  }

  #concerns(kind: SegmentKind, direction: Direction): boolean {
    const { from, direction: only = direction } = this.#settings;
    return only === direction && (from?.includes(kind) ?? true);
  }

  #strip(segment: TcpSegment): TcpSegment {
    return { ...segment, options: segment.options.filter(({ type }) => !this.#isStripped(type)) };
  }

  #isStripped(type: SegmentOption["type"]): boolean {
    const { options } = this.#settings;
    return options.includes(type) || (options.includes("multipath") && !PLAIN_TYPES.includes(type));
  }
}

function kindOf({ flags, payload }: TcpSegment, followsSynAck: boolean): SegmentKind {
  if ((flags & TCP_FLAG.syn) !== 0) return (flags & TCP_FLAG.ack) === 0 ? "syn" : "synAck";
  if (followsSynAck) return "thirdAck";
  return payload.length > 0 ? "data" : "ack";
}
