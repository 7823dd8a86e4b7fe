/**
 * What cuts large segments into smaller ones: a network card with segmentation offload, or a box that does likewise. The
 * options stand in each part (as the cards do, so that a DSS mapping arrives several times) or in the first one alone.
 */
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";
import { type Direction, type Middlebox, type Passed, passTcp } from "./middlebox.ts";

export interface SplitterOptions {
  /** The payload of each part. */
  readonly mostBytes: number;
  readonly options: "copied" | "firstOnly";
}

export class Splitter implements Middlebox {
  readonly #settings: SplitterOptions;

  constructor(settings: SplitterOptions) {
    this.#settings = settings;
  }

  onPacket(_nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    return passTcp(packet, direction, (tcp) =>
      splitSegment(tcp.segment, this.#settings).map((segment) => ({ direction, packet: { ...tcp, segment } })),
    );
  }
}

/** The parts in their order; PSH and FIN belong to the last one. A SYN is never cut. */
function splitSegment(segment: TcpSegment, { mostBytes, options }: SplitterOptions): readonly TcpSegment[] {
  const { payload, sequence, flags } = segment;
  if (payload.length <= mostBytes || (flags & TCP_FLAG.syn) !== 0) return [segment];
  const parts: TcpSegment[] = [];
  for (let at = 0; at < payload.length; at += mostBytes) {
    const isLast = at + mostBytes >= payload.length;
    parts.push({
      ...segment,
      sequence: (sequence + at) >>> 0,
      flags: isLast ? flags : flags & ~(TCP_FLAG.psh | TCP_FLAG.fin),
      options: at === 0 || options === "copied" ? segment.options : [],
      payload: payload.subarray(at, at + mostBytes),
    });
  }
  return parts;
}
