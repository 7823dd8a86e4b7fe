/**
 * Gives a packet another destination, in place, as a network address translator does (RFC 3022 section 4, RFC 5508
 * section 4.2 for ICMP errors).
 */
import { equalBytes, readUint16, writeUint16 } from "../base/bytes.ts";
import { familyOf, type IpAddress, networkBytes } from "../base/ip-address.ts";
import { adjustChecksum, sumWords } from "./checksum.ts";
import { findTransport, IP_PROTOCOL } from "./ip-packet.ts";

/** Where the addresses of a header and its own checksum stand. */
const LAYOUT = {
  ipv4: { source: 12, destination: 16, addressBytes: 4, checksum: 10 },
  ipv6: { source: 8, destination: 24, addressBytes: 16, checksum: undefined },
} as const;

/** Where in the transport's header the checksum stands, and whether the addresses are part of it. */
const TRANSPORTS: Readonly<Record<number, { readonly checksum: number; readonly coversAddresses: boolean }>> = {
  [IP_PROTOCOL.tcp]: { checksum: 16, coversAddresses: true },
  [IP_PROTOCOL.icmp]: { checksum: 2, coversAddresses: false },
  [IP_PROTOCOL.icmpv6]: { checksum: 2, coversAddresses: true },
};
const ICMP_HEADER_BYTES = 8;

/** The destination of a packet in its bytes: a view. Undefined when it is too short to have one. */
export function destinationBytes(packet: Uint8Array): Uint8Array | undefined {
  const { destination, addressBytes } = layoutOf(packet);
  return packet.length < destination + addressBytes
    ? undefined
    : packet.subarray(destination, destination + addressBytes);
}

/**
 * The packet goes to `to`, an address of its family. In an ICMP error the packet in question then has come from `to`: the
 * answer to the sender whom the translation stands for. What is no whole packet stays as it is.
 */
export function translateDestination(packet: Uint8Array, to: IpAddress): void {
  const before = destinationBytes(packet)?.slice();
  const transport = findTransport(packet);
  if (before === undefined || transport === undefined || familyOf(to) !== familyOfPacket(packet)) return;
  const { destination } = layoutOf(packet);
  const change = replaceAddress(packet, 0, destination, to);
  const place = TRANSPORTS[transport.protocol];
  if (place === undefined) return;
  const at = transport.offset + place.checksum;
  if (at + 2 > packet.length) return;
  if (place.coversAddresses) adjustAt(packet, at, change);
  if (transport.protocol !== IP_PROTOCOL.tcp) translateQuoted(packet, transport.offset, before, to);
}

interface Change {
  readonly before: number;
  readonly after: number;
}

/** Puts an address at `at` into the header at `header`, whose own checksum follows. */
function replaceAddress(packet: Uint8Array, header: number, at: number, to: IpAddress): Change {
  const bytes = networkBytes(to);
  const before = sumWords(packet, at, at + bytes.length);
  packet.set(bytes, at);
  const change = { before, after: sumWords(bytes) };
  const { checksum } = layoutOf(packet.subarray(header));
  if (checksum !== undefined) adjustAt(packet, header + checksum, change);
  return change;
}

function adjustAt(packet: Uint8Array, at: number, { before, after }: Change): void {
  writeUint16(packet, at, adjustChecksum(readUint16(packet, at), before, after));
}

/** In an ICMP error: the packet in question had the former destination as its source. */
function translateQuoted(packet: Uint8Array, icmp: number, former: Uint8Array, to: IpAddress): void {
  const quoted = icmp + ICMP_HEADER_BYTES;
  const { source, addressBytes } = layoutOf(packet.subarray(quoted));
  const at = quoted + source;
  const isWhole = packet.length >= at + 2 * addressBytes && addressBytes === former.length;
  if (!isWhole || !equalBytes(packet.subarray(at, at + addressBytes), former)) return;
  const end = at + addressBytes;
  const before = sumWords(packet, quoted, end);
  replaceAddress(packet, quoted, at, to);
  adjustAt(packet, icmp + 2, { before, after: sumWords(packet, quoted, end) });
}

function familyOfPacket(packet: Uint8Array): "ipv4" | "ipv6" {
  return (packet[0] ?? 0) >> 4 === 4 ? "ipv4" : "ipv6";
}

function layoutOf(packet: Uint8Array) {
  return LAYOUT[familyOfPacket(packet)];
}
