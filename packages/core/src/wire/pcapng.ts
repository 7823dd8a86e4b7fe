/**
 * Capture files (IETF draft-ietf-opsawg-pcapng) of raw IP packets, as tcpdump and Wireshark read them. Bytes out: a file
 * is one header and any number of packets behind it. Blocks are little-endian and padded to 32 bits.
 */
import { concatBytes } from "../base/bytes.ts";
import { encodeUtf8 } from "../base/utf8.ts";

const BLOCK = { sectionHeader: 0x0a0d0d0a, interfaceDescription: 1, enhancedPacket: 6 } as const;
const OPTION = { comment: 1, interfaceName: 2, timestampResolution: 9 } as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINKTYPE_RAW = 101;
const NANOSECONDS = 9;
const LARGEST_OPTION_BYTES = 0xffff;

function block(type: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + padded(body.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, bytes.length, true);
  bytes.set(body, 8);
  view.setUint32(bytes.length - 4, bytes.length, true);
  return bytes;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

/** Options end a block: Code(16), Length(16), value, padded; a code of zero ends them. */
function options(list: readonly (readonly [number, Uint8Array])[]): Uint8Array {
  if (list.length === 0) return new Uint8Array();
  const bytes = new Uint8Array(list.reduce((sum, [, value]) => sum + 4 + padded(value.length), 4));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [code, value] of list) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  return bytes;
}

/** A text as an option holds it. */
function text(value: string): Uint8Array {
  return encodeUtf8(value).subarray(0, LARGEST_OPTION_BYTES);
}

/** Like {@link pcapngPacket}'s comment, of the whole capture: how it came to be, for instance. */
export interface CaptureDescription {
  /** Names of the interfaces, whose numbers are their places. */
  readonly interfaces?: readonly string[];
  readonly comment?: string;
}

/** What a file begins with: the section, and its interfaces, at least one; their timestamps are nanoseconds. */
export function pcapngHeader({ interfaces = ["ip"], comment }: CaptureDescription = {}): Uint8Array {
  const section = new DataView(new ArrayBuffer(16));
  section.setUint32(0, BYTE_ORDER_MAGIC, true);
  section.setUint16(4, 1, true);
  section.setBigInt64(8, -1n, true);
  const said = comment === undefined ? [] : [[OPTION.comment, text(comment)] as const];
  return concatBytes([
    block(BLOCK.sectionHeader, concatBytes([new Uint8Array(section.buffer), options(said)])),
    ...interfaces.map(interfaceBlock),
  ]);
}

function interfaceBlock(name: string): Uint8Array {
  const description = new DataView(new ArrayBuffer(8));
  description.setUint16(0, LINKTYPE_RAW, true);
  const said = options([
    [OPTION.interfaceName, text(name)],
    [OPTION.timestampResolution, Uint8Array.of(NANOSECONDS)],
  ]);
  return block(BLOCK.interfaceDescription, concatBytes([new Uint8Array(description.buffer), said]));
}

/** Where and when a packet was seen. */
export interface CapturedPacket {
  /** After the epoch of the file's clock. */
  readonly timeMs: number;
  /** The place of its interface in the header's; 0 when left out. */
  readonly interface?: number;
  readonly comment?: string;
}

/** One IP packet. */
export function pcapngPacket(packet: Uint8Array, seen: CapturedPacket): Uint8Array {
  const head = new DataView(new ArrayBuffer(20));
  const timeNs = nanoseconds(seen.timeMs);
  head.setUint32(0, seen.interface ?? 0, true);
  head.setUint32(4, Number(timeNs >> 32n), true);
  head.setUint32(8, Number(timeNs & 0xffffffffn), true);
  head.setUint32(12, packet.length, true);
  head.setUint32(16, packet.length, true);
  const padding = new Uint8Array(padded(packet.length) - packet.length);
  const said = seen.comment === undefined ? [] : [[OPTION.comment, text(seen.comment)] as const];
  return block(BLOCK.enhancedPacket, concatBytes([new Uint8Array(head.buffer), packet, padding, options(said)]));
}

/** A time of day in nanoseconds exceeds the 53 bits of a number. */
function nanoseconds(timeMs: number): bigint {
  const wholeMs = Math.floor(timeMs);
  return BigInt(wholeMs) * 1_000_000n + BigInt(Math.round((timeMs - wholeMs) * 1e6));
}
