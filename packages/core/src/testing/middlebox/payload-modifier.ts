/**
 * An application-level gateway, such as NATs have for FTP: replaces a text in the payload by another one, of another
 * length perhaps, and shifts sequence numbers and acknowledgments behind it. Why DSS has a checksum (RFC 8684 section
 * 3.3.1): a mapping then no longer fits its data.
 */
import { concatBytes } from "../../base/bytes.ts";
import type { SegmentOption } from "../../wire/tcp/options.ts";
import type { TcpSegment } from "../../wire/tcp/segment.ts";
import { FlowTable, flowEnds, flowKey } from "./flow-table.ts";
import { type Direction, type Middlebox, opposite, type Passed, passTcp } from "./middlebox.ts";

export interface PayloadModifierOptions {
  /** What is looked for within one segment; at least one byte. */
  readonly find: Uint8Array;
  readonly replacement: Uint8Array;
}

/** Places of one direction where the text was, as sequence numbers of its sender, in their order. */
type Edits = Readonly<Record<Direction, number[]>>;

/** Of a connection and direction; what would be one more is let pass unchanged. */
const MOST_EDITS = 256;

export class PayloadModifier implements Middlebox {
  readonly #settings: PayloadModifierOptions;
  readonly #flows = new FlowTable<Edits>();

  constructor(settings: PayloadModifierOptions) {
    this.#settings = settings;
  }

  onPacket(nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    return passTcp(packet, direction, (tcp) => {
      const edits = this.#flows.getOrMake(flowKey(flowEnds(tcp, direction)), nowMs, () => ({
        forward: [],
        backward: [],
      }));
      const segment = this.#change(tcp.segment, edits[direction], edits[opposite(direction)]);
      return [{ direction, packet: { ...tcp, segment } }];
    });
  }

  #change(segment: TcpSegment, own: number[], other: readonly number[]): TcpSegment {
    const places = this.#placesIn(segment, own);
    const { find, replacement } = this.#settings;
    const shift = replacement.length - find.length;
    const before = own.filter((edit) => distance(edit, segment.sequence) < 0).length;
    for (const place of places) if (!own.includes(place)) own.push(place);
    own.sort(distance);
    return {
      ...segment,
      sequence: (segment.sequence + shift * before) >>> 0,
      acknowledgment: this.#acknowledgmentBefore(segment.acknowledgment, other),
      options: segment.options.map((option) => this.#sackBefore(option, other)),
      payload: places.length === 0 ? segment.payload : this.#replace(segment, places),
    };
  }

  #placesIn({ payload, sequence }: TcpSegment, own: readonly number[]): number[] {
    const { find } = this.#settings;
    const places: number[] = [];
    for (let at = indexOf(payload, find, 0); at !== -1; at = indexOf(payload, find, at + find.length)) {
      const place = (sequence + at) >>> 0;
      if (own.includes(place) || own.length + places.length < MOST_EDITS) places.push(place);
    }
    return places;
  }

  #replace({ payload, sequence }: TcpSegment, places: readonly number[]): Uint8Array {
    const { find, replacement } = this.#settings;
    const parts: Uint8Array[] = [];
    let from = 0;
    for (const place of places) {
      const at = distance(place, sequence);
      parts.push(payload.subarray(from, at), replacement);
      from = at + find.length;
    }
    return concatBytes([...parts, payload.subarray(from)]);
  }

  #sackBefore(option: SegmentOption, edits: readonly number[]): SegmentOption {
    if (option.type !== "sack") return option;
    const before = (edge: number) => this.#acknowledgmentBefore(edge, edits);
    return {
      ...option,
      blocks: option.blocks.map(({ left, right }) => ({ left: before(left), right: before(right) })),
    };
  }

  /** What the receiver acknowledges, in the sender's numbers. A place in the middle of a replaced text counts as its start. */
  #acknowledgmentBefore(acknowledgment: number, edits: readonly number[]): number {
    const { find, replacement } = this.#settings;
    const shift = replacement.length - find.length;
    let shifted = acknowledgment;
    for (const edit of edits) {
      const behind = distance(shifted, edit);
      if (behind >= replacement.length) shifted = (shifted - shift) >>> 0;
      else if (behind > 0) shifted = edit;
    }
    return shifted;
  }
}

/** How far `sequence` is behind `other`, negative when it is before. */
function distance(sequence: number, other: number): number {
  return (sequence - other) | 0;
}

function indexOf(bytes: Uint8Array, find: Uint8Array, from: number): number {
  for (let at = from; at + find.length <= bytes.length; at++) {
    if (find.every((byte, index) => bytes[at + index] === byte)) return at;
  }
  return -1;
}
