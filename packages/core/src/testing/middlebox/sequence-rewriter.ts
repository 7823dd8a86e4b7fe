/**
 * A firewall that chooses initial sequence numbers anew, because it does not trust the hosts' (RFC 6528 says why): adds a
 * secret to sequence numbers in one direction and takes it from acknowledgments in the other.
 */
import { type Random, randomBelow } from "../../base/random.ts";
import type { SegmentOption } from "../../wire/tcp/options.ts";
import type { TcpSegment } from "../../wire/tcp/segment.ts";
import { FlowTable, flowEnds, flowKey } from "./flow-table.ts";
import { type Direction, type Middlebox, opposite, type Passed, passTcp } from "./middlebox.ts";

export interface SequenceRewriterOptions {
  /** Whether it knows SACK. One that does not lets blocks pass that make no sense to the receiver. */
  readonly rewritesSack: boolean;
}

/** What is added to the sequence numbers of each direction. */
type Offsets = Readonly<Record<Direction, number>>;

export class SequenceRewriter implements Middlebox {
  readonly #random: Random;
  readonly #settings: SequenceRewriterOptions;
  readonly #flows = new FlowTable<Offsets>();

  constructor(settings: SequenceRewriterOptions, random: Random) {
    this.#settings = settings;
    this.#random = random;
  }

  onPacket(nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    return passTcp(packet, direction, (tcp) => {
      const offsets = this.#flows.getOrMake(flowKey(flowEnds(tcp, direction)), nowMs, () => this.#choose());
      const segment = this.#rewrite(tcp.segment, offsets[direction], offsets[opposite(direction)]);
      return [{ direction, packet: { ...tcp, segment } }];
    });
  }

  #choose(): Offsets {
    return { forward: randomBelow(this.#random, 2 ** 32), backward: randomBelow(this.#random, 2 ** 32) };
  }

  #rewrite(segment: TcpSegment, own: number, other: number): TcpSegment {
    return {
      ...segment,
      sequence: (segment.sequence + own) >>> 0,
      acknowledgment: (segment.acknowledgment - other) >>> 0,
      options: this.#settings.rewritesSack
        ? segment.options.map((option) => shiftSack(option, other))
        : segment.options,
    };
  }
}

function shiftSack(option: SegmentOption, offset: number): SegmentOption {
  if (option.type !== "sack") return option;
  const shift = (edge: number) => (edge - offset) >>> 0;
  return { ...option, blocks: option.blocks.map(({ left, right }) => ({ left: shift(left), right: shift(right) })) };
}
