/**
 * IP packets of both families (RFC 791 section 3.1, RFC 8200 sections 3 and 4). What the transport above does not use,
 * IPv4 options and IPv6 extension headers, is skipped when read and never written.
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from "../base/bytes.ts";
import { type IpAddress, ipAddressFromBytes, networkBytes } from "../base/ip-address.ts";
import { checksumOfSum, isSound, sumWords } from "./checksum.ts";

/** Protocol numbers in use, from IANA's "Assigned Internet Protocol Numbers". */
export const IP_PROTOCOL = { icmp: 1, tcp: 6, icmpv6: 58 } as const;

interface CommonHeader {
  /** Of the family that `family` says: an IPv4 address is an IPv4-mapped one. */
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** IPv4: Protocol. IPv6: Next Header of the last extension header. */
  readonly protocol: number;
  /** DSCP (6 bits) and ECN (2 bits): IPv4's type of service, IPv6's traffic class. */
  readonly trafficClass: number;
  /** IPv4: time to live. */
  readonly hopLimit: number;
}

export interface Ipv4Header extends CommonHeader {
  readonly family: "ipv4";
  /** 16 bits; of no meaning where fragmenting is forbidden (RFC 6864). */
  readonly identification: number;
  readonly dontFragment: boolean;
}

export interface Ipv6Header extends CommonHeader {
  readonly family: "ipv6";
  /** 20 bits. */
  readonly flowLabel: number;
}

export type IpHeader = Ipv4Header | Ipv6Header;

/** A whole packet. `payload` is a view of the bytes it was read from. */
export type IpPacket = IpHeader & { readonly payload: Uint8Array };

/** Why a packet was refused; each can be counted. */
export type IpRefusal =
  /** Neither 4 nor 6. */
  | "ipVersion"
  /** A length field that says more than there is, or less than the header itself. */
  | "ipLength"
  /** IPv4: the header's checksum is wrong. */
  | "ipChecksum"
  /** A part of a packet: TCP avoids fragments, and reassembly is not done here. */
  | "ipFragment"
  /** IPv6: an extension header that is not known, or more than {@link MOST_EXTENSION_HEADERS}. */
  | "ipExtension";

export const IPV4_HEADER_BYTES = 20;
export const IPV6_HEADER_BYTES = 40;
/** RFC 8200 section 4.1 recommends an order in which six can stand before TCP. */
export const MOST_EXTENSION_HEADERS = 8;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS_AND_OFFSET = 0x3fff;

/** Where the transport's header begins in a packet, and which one it is. */
export interface TransportPlace {
  readonly protocol: number;
  readonly offset: number;
}

/**
 * Finds the transport's header in a packet whose end may be missing, without judging anything else. Undefined for
 * another version, a fragment other than the first one, and a chain of extension headers that leads nowhere.
 */
export function findTransport(packet: Uint8Array): TransportPlace | undefined {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4) {
    if ((readUint16(packet, 6) & 0x1fff) !== 0) return undefined;
    return { protocol: packet[9] ?? 0, offset: 4 * ((packet[0] ?? 0) & 15) };
  }
  const found = version === 6 ? skipExtensionHeaders(packet) : undefined;
  return typeof found === "string" ? undefined : found;
}

/** Hop-by-hop options, routing, destination options: next header, then length in units of 8 bytes less one. */
const SKIPPED_HEADERS = [0, 43, 60];
const FRAGMENT_HEADER = 44;
const FRAGMENT_HEADER_BYTES = 8;

function skipExtensionHeaders(packet: Uint8Array): TransportPlace | IpRefusal {
  let protocol = packet[6] ?? 0;
  let offset = IPV6_HEADER_BYTES;
  for (let count = 0; count <= MOST_EXTENSION_HEADERS; count++) {
    if (protocol !== FRAGMENT_HEADER && !SKIPPED_HEADERS.includes(protocol)) return { protocol, offset };
    const next = packet[offset];
    if (next === undefined) return "ipLength";
    if (protocol === FRAGMENT_HEADER) {
      // RFC 6946: a fragment header that says "first and last" is a whole packet.
      if ((readUint16(packet, offset + 2) & 0xfff9) !== 0) return "ipFragment";
      offset += FRAGMENT_HEADER_BYTES;
    } else {
      offset += 8 * ((packet[offset + 1] ?? 0) + 1);
    }
    protocol = next;
  }
  return "ipExtension";
}

/** Reads one packet; bytes behind the length that its header says are ignored. */
export function parseIpPacket(bytes: Uint8Array): IpPacket | IpRefusal {
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4) return parseIpv4(bytes);
  return version === 6 ? parseIpv6(bytes) : "ipVersion";
}

function parseIpv4(bytes: Uint8Array): IpPacket | IpRefusal {
  const headerBytes = 4 * ((bytes[0] ?? 0) & 15);
  const totalBytes = readUint16(bytes, 2);
  if (headerBytes < IPV4_HEADER_BYTES || totalBytes < headerBytes || totalBytes > bytes.length) return "ipLength";
  if (!isSound(sumWords(bytes, 0, headerBytes))) return "ipChecksum";
  const fragment = readUint16(bytes, 6);
  if ((fragment & MORE_FRAGMENTS_AND_OFFSET) !== 0) return "ipFragment";
  return {
    family: "ipv4",
    source: addressAt(bytes, 12, 4),
    destination: addressAt(bytes, 16, 4),
    protocol: bytes[9] ?? 0,
    trafficClass: bytes[1] ?? 0,
    hopLimit: bytes[8] ?? 0,
    identification: readUint16(bytes, 4),
    dontFragment: (fragment & DONT_FRAGMENT) !== 0,
    payload: bytes.subarray(headerBytes, totalBytes),
  };
}

function parseIpv6(bytes: Uint8Array): IpPacket | IpRefusal {
  const totalBytes = IPV6_HEADER_BYTES + readUint16(bytes, 4);
  if (bytes.length < totalBytes) return "ipLength";
  const packet = bytes.subarray(0, totalBytes);
  const transport = skipExtensionHeaders(packet);
  if (typeof transport === "string") return transport;
  if (transport.offset > totalBytes) return "ipLength";
  return {
    family: "ipv6",
    source: addressAt(bytes, 8, 16),
    destination: addressAt(bytes, 24, 16),
    protocol: transport.protocol,
    trafficClass: (readUint16(bytes, 0) >> 4) & 0xff,
    hopLimit: bytes[7] ?? 0,
    flowLabel: readUint32(bytes, 0) & 0xfffff,
    payload: packet.subarray(transport.offset),
  };
}

/** The caller has checked that 4 or 16 bytes are there. */
function addressAt(bytes: Uint8Array, offset: number, length: 4 | 16): IpAddress {
  return ipAddressFromBytes(bytes.subarray(offset, offset + length)) as IpAddress;
}

export function ipHeaderBytes({ family }: IpHeader): number {
  return family === "ipv4" ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
}

/** Writes the header of a packet whose payload has `payloadBytes`. Returns where the payload begins. */
export function emitIpHeader(header: IpHeader, payloadBytes: number, into: Uint8Array, offset: number): number {
  return header.family === "ipv4"
    ? emitIpv4(header, payloadBytes, into, offset)
    : emitIpv6(header, payloadBytes, into, offset);
}

function emitIpv4(header: Ipv4Header, payloadBytes: number, into: Uint8Array, offset: number): number {
  const end = offset + IPV4_HEADER_BYTES;
  into[offset] = 0x45;
  into[offset + 1] = header.trafficClass;
  writeUint16(into, offset + 2, IPV4_HEADER_BYTES + payloadBytes);
  writeUint16(into, offset + 4, header.identification);
  writeUint16(into, offset + 6, header.dontFragment ? DONT_FRAGMENT : 0);
  into[offset + 8] = header.hopLimit;
  into[offset + 9] = header.protocol;
  writeUint16(into, offset + 10, 0);
  into.set(networkBytes(header.source), offset + 12);
  into.set(networkBytes(header.destination), offset + 16);
  writeUint16(into, offset + 10, checksumOfSum(sumWords(into, offset, end)));
  return end;
}

function emitIpv6(header: Ipv6Header, payloadBytes: number, into: Uint8Array, offset: number): number {
  writeUint32(into, offset, 0x60000000 | (header.trafficClass << 20) | header.flowLabel);
  writeUint16(into, offset + 4, payloadBytes);
  into[offset + 6] = header.protocol;
  into[offset + 7] = header.hopLimit;
  into.set(header.source, offset + 8);
  into.set(header.destination, offset + 24);
  return offset + IPV6_HEADER_BYTES;
}
