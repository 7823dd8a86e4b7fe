/** TCP segments (RFC 9293 section 3.1) as values. Read that section before changing this file. */
import { readUint16, readUint32, writeUint16, writeUint32 } from "../../base/bytes.ts";
import type { IpAddress } from "../../base/ip-address.ts";
import { checksumOfSum, foldSum, isSound, pseudoHeaderSum, sumWords } from "../checksum.ts";
import { IP_PROTOCOL } from "../ip-packet.ts";
import {
  emitSegmentOptions,
  MOST_OPTION_BYTES,
  optionsWithoutRoom,
  parseSegmentOptions,
  type SegmentOption,
  segmentOptionsByteLength,
} from "./options.ts";

/** Bits of {@link TcpSegment.flags}. */
export const TCP_FLAG = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ece: 0x40,
  cwr: 0x80,
} as const;

export interface TcpSegment {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Unsigned, 32 bits, as all sequence numbers. */
  readonly sequence: number;
  /** Of no meaning without the flag ACK. */
  readonly acknowledgment: number;
  /** Bits of {@link TCP_FLAG}. The reserved bits are ignored and never sent. */
  readonly flags: number;
  /** As it stands in the header, not scaled: 16 bits. */
  readonly window: number;
  readonly urgentPointer: number;
  readonly options: readonly SegmentOption[];
  /** When read, a view of the bytes it was read from. */
  readonly payload: Uint8Array;
}

/** Why a segment was refused; each can be counted. */
export type SegmentRefusal =
  /** Shorter than a TCP header. */
  | "tcpLength"
  /** A data offset below five words, or beyond the segment's end. */
  | "tcpDataOffset"
  /** An option whose length is below 2, or reaches beyond the header. */
  | "tcpOptionLength"
  | "tcpChecksum";

export const TCP_HEADER_BYTES = 20;
/** Where in the header the checksum stands. */
export const TCP_CHECKSUM = 16;

/** Reads one segment. The checksum is not looked at: see {@link hasSoundChecksum}. */
export function parseTcpSegment(bytes: Uint8Array): TcpSegment | SegmentRefusal {
  if (bytes.length < TCP_HEADER_BYTES) return "tcpLength";
  const headerBytes = 4 * ((bytes[12] ?? 0) >> 4);
  if (headerBytes < TCP_HEADER_BYTES || headerBytes > bytes.length) return "tcpDataOffset";
  const options = parseSegmentOptions(bytes, TCP_HEADER_BYTES, headerBytes);
  if (options === undefined) return "tcpOptionLength";
  return {
    sourcePort: readUint16(bytes, 0),
    destinationPort: readUint16(bytes, 2),
    sequence: readUint32(bytes, 4),
    acknowledgment: readUint32(bytes, 8),
    flags: bytes[13] ?? 0,
    window: readUint16(bytes, 14),
    urgentPointer: readUint16(bytes, 18),
    options,
    payload: bytes.subarray(headerBytes),
  };
}

/** The addresses that a segment's checksum covers beside itself. */
export interface SegmentAddresses {
  readonly source: IpAddress;
  readonly destination: IpAddress;
}

/** Whether `bytes`, a whole segment, has the checksum it must have between these addresses. */
export function hasSoundChecksum(bytes: Uint8Array, { source, destination }: SegmentAddresses): boolean {
  return isSound(pseudoHeaderSum(source, destination, IP_PROTOCOL.tcp, bytes.length) + sumWords(bytes));
}

/** Options that do not fit into a header, and those behind them: nothing was written. */
export interface OptionsWithoutRoom {
  readonly withoutRoom: readonly SegmentOption[];
}

/** The segment's length on the wire. Options that do not fit are counted as if they did. */
export function tcpSegmentByteLength({ options, payload }: TcpSegment): number {
  return TCP_HEADER_BYTES + ((segmentOptionsByteLength(options) + 3) & ~3) + payload.length;
}

/**
 * Which checksum a segment is sent with. "partial" is the sum of the pseudo header alone: who takes the packet completes
 * it, as the kernel does behind a virtio_net_hdr with VIRTIO_NET_HDR_F_NEEDS_CSUM.
 */
export type ChecksumMode = "complete" | "partial";

/**
 * Writes the segment at `offset` and returns its end, or what does not fit into {@link MOST_OPTION_BYTES}. Options are
 * padded with no-operations before the first of them: so the timestamps, alone or first, have the layout that RFC 7323
 * appendix A recommends and receivers have a fast path for.
 */
export function emitTcpSegment(
  segment: TcpSegment,
  addresses: SegmentAddresses,
  into: Uint8Array,
  offset: number,
  checksum: ChecksumMode = "complete",
): number | OptionsWithoutRoom {
  const optionBytes = segmentOptionsByteLength(segment.options);
  if (optionBytes > MOST_OPTION_BYTES) return { withoutRoom: optionsWithoutRoom(segment.options) };
  const padding = -optionBytes & 3;
  const optionsAt = offset + TCP_HEADER_BYTES + padding;
  const payloadAt = optionsAt + optionBytes;
  const end = payloadAt + segment.payload.length;
  emitFixedHeader(segment, payloadAt - offset, into, offset);
  into.fill(1, offset + TCP_HEADER_BYTES, optionsAt);
  emitSegmentOptions(segment.options, into, optionsAt);
  into.set(segment.payload, payloadAt);
  const pseudo = pseudoHeaderSum(addresses.source, addresses.destination, IP_PROTOCOL.tcp, end - offset);
  const sum = checksum === "partial" ? foldSum(pseudo) : checksumOfSum(pseudo + sumWords(into, offset, end));
  writeUint16(into, offset + TCP_CHECKSUM, sum);
  return end;
}

function emitFixedHeader(segment: TcpSegment, headerBytes: number, into: Uint8Array, offset: number): void {
  writeUint16(into, offset, segment.sourcePort);
  writeUint16(into, offset + 2, segment.destinationPort);
  writeUint32(into, offset + 4, segment.sequence);
  writeUint32(into, offset + 8, segment.acknowledgment);
  into[offset + 12] = (headerBytes / 4) << 4;
  into[offset + 13] = segment.flags;
  writeUint16(into, offset + 14, segment.window);
  writeUint16(into, offset + TCP_CHECKSUM, 0);
  writeUint16(into, offset + 18, segment.urgentPointer);
}
