/**
 * Capture files (IETF draft-ietf-opsawg-pcapng) with one interface of raw IP packets, as tcpdump and Wireshark read
 * them. Blocks are little-endian and padded to 32 bits.
 */
import { concatBytes } from "../base/bytes.ts";

const SECTION_HEADER = 0x0a0d0d0a;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;
const LINKTYPE_RAW = 101;

function block(type: number, body: Uint8Array): Uint8Array {
  const padded = (body.length + 3) & ~3;
  const bytes = new Uint8Array(12 + padded);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, bytes.length, true);
  bytes.set(body, 8);
  view.setUint32(bytes.length - 4, bytes.length, true);
  return bytes;
}

/** What a file begins with: the section, and one interface (id 0) whose timestamps are microseconds. */
export function pcapngHeader(): Uint8Array {
  const section = new DataView(new ArrayBuffer(16));
  section.setUint32(0, BYTE_ORDER_MAGIC, true);
  section.setUint16(4, 1, true);
  section.setBigInt64(8, -1n, true);
  const description = new DataView(new ArrayBuffer(8));
  description.setUint16(0, LINKTYPE_RAW, true);
  return concatBytes([
    block(SECTION_HEADER, new Uint8Array(section.buffer)),
    block(INTERFACE_DESCRIPTION, new Uint8Array(description.buffer)),
  ]);
}

/** One IP packet, seen `timeUs` microseconds after the epoch of the file's clock. */
export function pcapngPacket(packet: Uint8Array, timeUs: number): Uint8Array {
  const body = new Uint8Array(20 + packet.length);
  const view = new DataView(body.buffer);
  view.setUint32(4, Math.floor(timeUs / 2 ** 32), true);
  view.setUint32(8, timeUs % 2 ** 32, true);
  view.setUint32(12, packet.length, true);
  view.setUint32(16, packet.length, true);
  body.set(packet, 20);
  return block(ENHANCED_PACKET, body);
}
