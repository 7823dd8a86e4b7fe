/** A middlebox that does not know Multipath TCP: turns the option of SYNs into no-operations, as xt_TCPOPTSTRIP does. */
import { readUint16, writeUint16 } from "../base/bytes.ts";
import { TCP_OPTION } from "../wire/tcp-options.ts";

const PROTOCOL_TCP = 6;
const IPV6_HEADER_BYTES = 40;
const TCP_HEADER_BYTES = 20;
const SYN = 0x02;

/**
 * Changes `packet`, an IPv4 or IPv6 packet, in place when it is a TCP SYN or SYN+ACK with Multipath TCP options, and
 * keeps its checksum right. Says whether there were any. IPv6 extension headers are not looked behind.
 */
export function stripMultipath(packet: Uint8Array): boolean {
  const tcp = tcpSegment(packet);
  if (tcp === undefined || ((tcp[13] ?? 0) & SYN) === 0) return false;
  const header = tcp.subarray(0, Math.min(4 * ((tcp[12] ?? 0) >> 4), tcp.length));
  const before = sum(header);
  if (!blankOptions(header)) return false;
  // RFC 1624, equation 3; the checksum itself is in both sums and cancels out.
  const folded = fold((~readUint16(header, 16) & 0xffff) + (~before & 0xffff) + sum(header));
  writeUint16(header, 16, ~folded & 0xffff);
  return true;
}

/** The TCP segment of a packet, or undefined: another protocol, a later fragment, or cut short. */
function tcpSegment(packet: Uint8Array): Uint8Array | undefined {
  const version = (packet[0] ?? 0) >> 4;
  const [protocol, offset] =
    version === 4 ? [packet[9], 4 * ((packet[0] ?? 0) & 0x0f)] : version === 6 ? [packet[6], IPV6_HEADER_BYTES] : [];
  if (protocol !== PROTOCOL_TCP || offset === undefined) return undefined;
  if (version === 4 && (readUint16(packet, 6) & 0x1fff) !== 0) return undefined;
  const segment = packet.subarray(offset);
  return segment.length < TCP_HEADER_BYTES ? undefined : segment;
}

function blankOptions(header: Uint8Array): boolean {
  let found = false;
  for (let at = TCP_HEADER_BYTES; at < header.length; ) {
    const kind = header[at];
    if (kind === TCP_OPTION.endOfList) break;
    const length = kind === TCP_OPTION.noOperation ? 1 : (header[at + 1] ?? 0);
    if (length === 0 || at + length > header.length) break;
    if (kind === TCP_OPTION.multipathTcp) {
      header.fill(TCP_OPTION.noOperation, at, at + length);
      found = true;
    }
    at += length;
  }
  return found;
}

/** The one's complement sum of 16-bit words (RFC 1071); a header has a whole number of them. */
function sum(header: Uint8Array): number {
  let total = 0;
  for (let at = 0; at < header.length; at += 2) total += readUint16(header, at);
  return fold(total);
}

function fold(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}
