/** A middlebox that does not know Multipath TCP: turns the option of SYNs into no-operations, as xt_TCPOPTSTRIP does. */
import { readUint16, writeUint16 } from "../base/bytes.ts";
import { adjustChecksum, sumWords } from "../wire/checksum.ts";
import { findTransport, IP_PROTOCOL } from "../wire/ip-packet.ts";
import { TCP_CHECKSUM, TCP_FLAG, TCP_HEADER_BYTES } from "../wire/tcp/segment.ts";
import { TCP_OPTION } from "../wire/tcp-options.ts";

/**
 * Changes `packet`, an IPv4 or IPv6 packet, in place when it is a TCP SYN or SYN+ACK with Multipath TCP options, and
 * keeps its checksum right. Says whether there were any.
 */
export function stripMultipath(packet: Uint8Array): boolean {
  const tcp = tcpSegment(packet);
  if (tcp === undefined || ((tcp[13] ?? 0) & TCP_FLAG.syn) === 0) return false;
  const header = tcp.subarray(0, Math.min(4 * ((tcp[12] ?? 0) >> 4), tcp.length));
  const before = sumWords(header);
  if (!blankOptions(header)) return false;
  writeUint16(header, TCP_CHECKSUM, adjustChecksum(readUint16(header, TCP_CHECKSUM), before, sumWords(header)));
  return true;
}

/** The TCP segment of a packet, or undefined: another protocol, a later fragment, or cut short. */
function tcpSegment(packet: Uint8Array): Uint8Array | undefined {
  const transport = findTransport(packet);
  if (transport?.protocol !== IP_PROTOCOL.tcp) return undefined;
  const segment = packet.subarray(transport.offset);
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
