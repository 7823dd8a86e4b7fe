/**
 * The ICMP errors that matter to TCP (RFC 792, RFC 1191 section 4, RFC 4443 section 3): Type(8), Code(8), Checksum(16),
 * 32 bits by type, then the beginning of the packet that could not be delivered. Read RFC 5927 before trusting one.
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from "../base/bytes.ts";
import type { Endpoint } from "../base/ip-address.ts";
import { type IpAddress, ipAddressFromBytes } from "../base/ip-address.ts";
import { checksumOfSum, isSound, pseudoHeaderSum, sumWords } from "./checksum.ts";
import { emitIpHeader, findTransport, IP_PROTOCOL, type IpHeader, type IpPacket, ipHeaderBytes } from "./ip-packet.ts";

/** Why a packet could not be delivered, in the terms of both families. */
export type IcmpReason =
  /** RFC 792 code 4 of type 3; RFC 4443 section 3.2. `mtuBytes` is 0 from routers older than RFC 1191. */
  | { readonly type: "packetTooBig"; readonly mtuBytes: number }
  /** RFC 792 type 3, RFC 4443 section 3.1, whose codes differ. */
  | { readonly type: "unreachable"; readonly code: number }
  /** RFC 792 type 11, RFC 4443 section 3.3. */
  | { readonly type: "timeExceeded"; readonly code: number };

export interface IcmpError {
  readonly reason: IcmpReason;
  /** The packet in question from its IP header on, its end missing. A view of what it was read from. */
  readonly quoted: Uint8Array;
}

/** Type numbers by family. */
const TYPE = {
  ipv4: { unreachable: 3, timeExceeded: 11 },
  ipv6: { unreachable: 1, packetTooBig: 2, timeExceeded: 3 },
} as const;
/** RFC 792: fragmentation needed and DF set. */
const IPV4_CODE_TOO_BIG = 4;
const HEADER_BYTES = 8;
/** What the message and its quotation may have together: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4. */
const MOST_PACKET_BYTES = { ipv4: 576, ipv6: 1280 } as const;

/** Reads an ICMP error; undefined for another protocol, another message, and a wrong checksum. */
export function parseIcmpError(packet: IpPacket): IcmpError | undefined {
  const { family, payload } = packet;
  const protocol = family === "ipv4" ? IP_PROTOCOL.icmp : IP_PROTOCOL.icmpv6;
  if (packet.protocol !== protocol || payload.length < HEADER_BYTES) return undefined;
  if (!isSound(pseudoSum(packet, payload.length) + sumWords(payload))) return undefined;
  const reason = family === "ipv4" ? reasonIpv4(payload) : reasonIpv6(payload);
  return reason && { reason, quoted: payload.subarray(HEADER_BYTES) };
}

/** RFC 4443 section 2.3: IPv6's checksum covers a pseudo header, IPv4's does not. */
function pseudoSum({ family, source, destination }: IpHeader, length: number): number {
  return family === "ipv4" ? 0 : pseudoHeaderSum(source, destination, IP_PROTOCOL.icmpv6, length);
}

function reasonIpv4(message: Uint8Array): IcmpReason | undefined {
  const [type, code = 0] = message;
  if (type === TYPE.ipv4.timeExceeded) return { type: "timeExceeded", code };
  if (type !== TYPE.ipv4.unreachable) return undefined;
  if (code !== IPV4_CODE_TOO_BIG) return { type: "unreachable", code };
  return { type: "packetTooBig", mtuBytes: readUint16(message, 6) };
}

function reasonIpv6(message: Uint8Array): IcmpReason | undefined {
  const [type, code = 0] = message;
  if (type === TYPE.ipv6.packetTooBig) return { type: "packetTooBig", mtuBytes: readUint32(message, 4) };
  if (type === TYPE.ipv6.timeExceeded) return { type: "timeExceeded", code };
  return type === TYPE.ipv6.unreachable ? { type: "unreachable", code } : undefined;
}

/** Makes the packet that tells the sender of `undelivered` why. `header` says from where to where; its protocol is set. */
export function emitIcmpError(header: IpHeader, reason: IcmpReason, undelivered: Uint8Array): Uint8Array {
  const headerBytes = ipHeaderBytes(header);
  const quotedBytes = Math.min(undelivered.length, MOST_PACKET_BYTES[header.family] - headerBytes - HEADER_BYTES);
  const bytes = new Uint8Array(headerBytes + HEADER_BYTES + quotedBytes);
  const protocol = header.family === "ipv4" ? IP_PROTOCOL.icmp : IP_PROTOCOL.icmpv6;
  emitIpHeader({ ...header, protocol }, HEADER_BYTES + quotedBytes, bytes, 0);
  const message = bytes.subarray(headerBytes);
  message.set(undelivered.subarray(0, quotedBytes), HEADER_BYTES);
  emitReason(header.family, reason, message);
  writeUint16(message, 2, checksumOfSum(pseudoSum(header, message.length) + sumWords(message)));
  return bytes;
}

function emitReason(family: IpHeader["family"], reason: IcmpReason, message: Uint8Array): void {
  if (reason.type !== "packetTooBig") {
    message[0] = TYPE[family][reason.type];
    message[1] = reason.code;
  } else if (family === "ipv4") {
    message[0] = TYPE.ipv4.unreachable;
    message[1] = IPV4_CODE_TOO_BIG;
    writeUint16(message, 6, reason.mtuBytes);
  } else {
    message[0] = TYPE.ipv6.packetTooBig;
    writeUint32(message, 4, reason.mtuBytes);
  }
}

/** What an error says of the TCP segment it is about: enough to find the connection, and to judge it (RFC 5927). */
export interface QuotedSegment {
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly sequence: number;
}

/** RFC 792 guarantees 8 bytes behind the IP header. Undefined when it was no TCP, or less is there. */
export function parseQuotedSegment(quoted: Uint8Array): QuotedSegment | undefined {
  const transport = findTransport(quoted);
  if (transport?.protocol !== IP_PROTOCOL.tcp || transport.offset + 8 > quoted.length) return undefined;
  const [at, length] = (quoted[0] ?? 0) >> 4 === 4 ? [12, 4] : [8, 16];
  const address = (offset: number) => ipAddressFromBytes(quoted.subarray(offset, offset + length)) as IpAddress;
  const { offset } = transport;
  return {
    source: { address: address(at), port: readUint16(quoted, offset) },
    destination: { address: address(at + length), port: readUint16(quoted, offset + 2) },
    sequence: readUint32(quoted, offset + 4),
  };
}
