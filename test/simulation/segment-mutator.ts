/**
 * Changes the segments of valid connections so that they still get in: fields, options, lengths and flags, with the
 * checksums that a receiver asks for. What chance would seldom hit (a number at the edge of a window, an option in the
 * wrong state) is what it prefers.
 */
import { writeUint16 } from "@hybrid-access/core/base/bytes";
import { type Random, randomBelow } from "@hybrid-access/core/base/random";
import { checksumOfSum, pseudoHeaderSum, sumWords } from "@hybrid-access/core/wire/checksum";
import { IP_PROTOCOL, IPV4_HEADER_BYTES, type IpHeader } from "@hybrid-access/core/wire/ip-packet";
import { MOST_OPTION_BYTES, type SegmentOption, segmentOptionsByteLength } from "@hybrid-access/core/wire/tcp/options";
import { emitTcpPacket, parseTcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_CHECKSUM, TCP_FLAG, TCP_HEADER_BYTES, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { OPTION_VECTORS } from "../unit/wire/option-vectors.ts";
import { chance, oneOf } from "./random-choice.ts";

/** A packet that was changed, and how. */
export interface Mutated {
  readonly packet: Uint8Array;
  readonly mutation: string;
}

/** Positions of an IPv4 header. */
const TOTAL_LENGTH = 2;
const HEADER_CHECKSUM = 10;
/** Positions of a TCP header. */
const DATA_OFFSET = 12;

const EDGES = [0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] as const;
const LARGEST_STRANGE_PAYLOAD = 1400;
const MOST_SACK_BLOCKS = 4;

/** What is done to a packet's bytes, before checksums are mended. */
type ByteMutation = (random: Random, packet: Uint8Array) => Uint8Array;
type SegmentMutation = (random: Random, segment: TcpSegment) => TcpSegment;

const SEGMENT_MUTATIONS: Readonly<Record<string, SegmentMutation>> = {
  sequence: (random, segment) => ({ ...segment, sequence: nearNumber(random, segment.sequence) }),
  acknowledgment: (random, segment) => ({ ...segment, acknowledgment: nearNumber(random, segment.acknowledgment) }),
  both: (random, segment) => ({
    ...segment,
    sequence: nearNumber(random, segment.sequence),
    acknowledgment: nearNumber(random, segment.acknowledgment),
  }),
  window: (random, segment) => ({ ...segment, window: nearNumber(random, segment.window) & 0xffff }),
  flags: (random, segment) => ({ ...segment, flags: segment.flags ^ (1 << randomBelow(random, 8)) }),
  // With its own number it would end most connections at once.
  state: (random, segment) => ({
    ...segment,
    flags: segment.flags | oneOf(random, STATE_FLAGS),
    sequence: chance(random, 0.2) ? segment.sequence : nearNumber(random, segment.sequence),
  }),
  urgent: (random, segment) => ({
    ...segment,
    flags: segment.flags | TCP_FLAG.urg,
    urgentPointer: randomBelow(random, 0x10000),
  }),
  port: (random, segment) => ({ ...segment, destinationPort: nearNumber(random, segment.destinationPort) & 0xffff }),
  payload: (random, segment) => ({ ...segment, payload: changedPayload(random, segment.payload) }),
  optionRemoved: (random, segment) => ({ ...segment, options: without(random, segment.options) }),
  optionAdded: (random, segment) => withOptions(segment, inserted(random, segment.options, strangeOption(random))),
  optionTwice: (random, segment) => {
    const [first] = segment.options;
    const option = segment.options[randomBelow(random, segment.options.length)] ?? first;
    return option === undefined ? segment : withOptions(segment, inserted(random, segment.options, option));
  },
  optionChanged: (random, segment) => withOptions(segment, changedOptions(random, segment.options)),
  optionOfOthers: (random, segment) => withOptions(segment, [strangeOption(random)]),
  selective: (random, segment) => withOptions(segment, [strangeBlocks(random, segment), ...segment.options]),
};

/** What belongs to another state of the connection. */
const STATE_FLAGS = [
  TCP_FLAG.syn,
  TCP_FLAG.fin,
  TCP_FLAG.rst,
  TCP_FLAG.syn | TCP_FLAG.fin,
  TCP_FLAG.fin | TCP_FLAG.rst,
  0xff,
] as const;

const BYTE_MUTATIONS: Readonly<Record<string, ByteMutation>> = {
  dataOffset: (random, packet) => {
    packet[IPV4_HEADER_BYTES + DATA_OFFSET] = randomBelow(random, 0x100);
    return packet;
  },
  optionBytes: (random, packet) => {
    const headerBytes = 4 * ((packet[IPV4_HEADER_BYTES + DATA_OFFSET] ?? 0) >> 4);
    const optionBytes = headerBytes - TCP_HEADER_BYTES;
    for (let count = 1 + randomBelow(random, 4); optionBytes > 0 && count > 0; count--) {
      const at = IPV4_HEADER_BYTES + TCP_HEADER_BYTES + randomBelow(random, optionBytes);
      packet[at] = nearNumber(random, packet[at] ?? 0) & 0xff;
    }
    return packet;
  },
  cut: (random, packet) =>
    packet.slice(0, IPV4_HEADER_BYTES + randomBelow(random, packet.length - IPV4_HEADER_BYTES + 1)),
};

const MUTATIONS = [...Object.keys(SEGMENT_MUTATIONS), ...Object.keys(BYTE_MUTATIONS)];

/** Changes a TCP packet in IPv4; undefined for any other, and for a reset: behind one there is seldom a connection. */
export function mutate(random: Random, packet: Uint8Array): Mutated | undefined {
  if ((packet[0] ?? 0) >> 4 !== 4) return undefined;
  const read = parseTcpPacket(packet);
  if (typeof read === "string" || (read.segment.flags & TCP_FLAG.rst) !== 0) return undefined;
  const mutation = MUTATIONS[randomBelow(random, MUTATIONS.length)] ?? "cut";
  const ofBytes = BYTE_MUTATIONS[mutation];
  if (ofBytes !== undefined) return { mutation, packet: withChecksums(ofBytes(random, packet.slice()), read.ip) };
  const segment = SEGMENT_MUTATIONS[mutation]?.(random, read.segment) ?? read.segment;
  return { mutation, packet: emitTcpPacket({ ...read, segment }) };
}

/** The right length and the right checksums of both headers, where there are both. */
function withChecksums(packet: Uint8Array, { source, destination }: IpHeader): Uint8Array {
  writeUint16(packet, TOTAL_LENGTH, packet.length);
  writeUint16(packet, HEADER_CHECKSUM, 0);
  writeUint16(packet, HEADER_CHECKSUM, checksumOfSum(sumWords(packet, 0, IPV4_HEADER_BYTES)));
  const length = packet.length - IPV4_HEADER_BYTES;
  if (length < TCP_HEADER_BYTES) return packet;
  writeUint16(packet, IPV4_HEADER_BYTES + TCP_CHECKSUM, 0);
  const pseudo = pseudoHeaderSum(source, destination, IP_PROTOCOL.tcp, length);
  const sum = checksumOfSum(pseudo + sumWords(packet, IPV4_HEADER_BYTES));
  writeUint16(packet, IPV4_HEADER_BYTES + TCP_CHECKSUM, sum);
  return packet;
}

/** A number of 32 bits that is close to `value`, or at an edge, or any. */
function nearNumber(random: Random, value: number): number {
  switch (randomBelow(random, 6)) {
    case 0:
      return (value + randomBelow(random, 7) - 3) >>> 0;
    case 1:
      return (value + randomBelow(random, 200_000) - 100_000) >>> 0;
    case 2:
      return (value ^ (1 << randomBelow(random, 32))) >>> 0;
    case 3:
      return oneOf(random, EDGES);
    case 4:
      return (value + 0x8000_0000 + randomBelow(random, 5) - 2) >>> 0;
    default:
      return randomBelow(random, 2 ** 32);
  }
}

function changedPayload(random: Random, payload: Uint8Array): Uint8Array {
  const bytes = payload.slice();
  switch (randomBelow(random, 4)) {
    case 0:
      return bytes.subarray(0, randomBelow(random, bytes.length + 1));
    case 1:
      return bytes.subarray(randomBelow(random, bytes.length + 1));
    case 2:
      return new Uint8Array(1 + randomBelow(random, LARGEST_STRANGE_PAYLOAD)).fill(randomBelow(random, 0x100));
    default:
      if (bytes.length > 0) bytes[randomBelow(random, bytes.length)] = randomBelow(random, 0x100);
      return bytes;
  }
}

/** As many of them as there is room for. */
function withOptions(segment: TcpSegment, options: readonly SegmentOption[]): TcpSegment {
  const fitting = [...options];
  while (segmentOptionsByteLength(fitting) > MOST_OPTION_BYTES) fitting.pop();
  return { ...segment, options: fitting };
}

function without(random: Random, options: readonly SegmentOption[]): SegmentOption[] {
  return options.toSpliced(randomBelow(random, Math.max(1, options.length)), 1);
}

/** In front as often as not: what has no room is left out from behind. */
function inserted(random: Random, options: readonly SegmentOption[], option: SegmentOption): SegmentOption[] {
  return options.toSpliced(chance(random, 0.5) ? 0 : randomBelow(random, options.length + 1), 0, option);
}

/** One of any kind and form, changed or not. */
function strangeOption(random: Random): SegmentOption {
  const { option } = OPTION_VECTORS[randomBelow(random, OPTION_VECTORS.length)] ?? OPTION_VECTORS[0] ?? fail();
  return chance(random, 0.5) ? option : changedFields(random, option);
}

function fail(): never {
  throw new RangeError("there are no options");
}

/** Blocks around what the segment acknowledges, of any length. */
function strangeBlocks(random: Random, { acknowledgment }: TcpSegment): SegmentOption {
  const blocks = Array.from({ length: 1 + randomBelow(random, MOST_SACK_BLOCKS) }, () => {
    const left = (acknowledgment + randomBelow(random, 60_000) - 2000) >>> 0;
    return { left, right: (left + randomBelow(random, 3000)) >>> 0 };
  });
  return { type: "sack", blocks };
}

function changedOptions(random: Random, options: readonly SegmentOption[]): SegmentOption[] {
  const chosen = randomBelow(random, Math.max(1, options.length));
  return options.map((option, index) => (index === chosen ? changedFields(random, option) : option));
}

/** The option with one of its fields changed, or a part of that field; its form stays one that can be written. */
function changedFields<Value extends object>(random: Random, value: Value): Value {
  const names = Object.keys(value).filter((name) => name !== "type" && name !== "kind");
  const name = names[randomBelow(random, Math.max(1, names.length))];
  if (name === undefined) return value;
  return { ...value, [name]: changedValue(random, name, (value as Readonly<Record<string, unknown>>)[name]) };
}

function changedValue(random: Random, name: string, value: unknown): unknown {
  if (name === "octets") return value === 4 ? 8 : 4;
  if (typeof value === "number") return nearNumber(random, value);
  if (typeof value === "bigint") return changedBigint(random, value);
  if (typeof value === "boolean") return !value;
  if (value instanceof Uint8Array) return changedBytes(random, value);
  if (Array.isArray(value)) return value.map((each) => changedValue(random, name, each));
  return typeof value === "object" && value !== null ? changedFields(random, value) : value;
}

function changedBigint(random: Random, value: bigint): bigint {
  const low = BigInt(nearNumber(random, Number(value & 0xffff_ffffn)));
  const high = chance(random, 0.8) ? value >> 32n : BigInt(nearNumber(random, Number(value >> 32n)));
  return (high << 32n) | low;
}

function changedBytes(random: Random, bytes: Uint8Array): Uint8Array {
  const changed = bytes.slice();
  if (changed.length > 0) changed[randomBelow(random, changed.length)] = randomBelow(random, 0x100);
  return changed;
}
