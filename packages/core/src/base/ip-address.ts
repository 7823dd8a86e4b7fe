/**
 * IP addresses in one shape for both families: 16 bytes in network order, an IPv4 address as its IPv4-mapped
 * IPv6 address (RFC 4291 section 2.5.5.2). RFC 8803 puts addresses on the wire so; prefixes and tables need one case.
 */
import ipaddr from "ipaddr.js";
import { equalBytes, readUint16 } from "./bytes.ts";

/** 16 bytes in network order; IPv4 as ::ffff:a.b.c.d. Never changed after it was made. */
export type IpAddress = Uint8Array & { readonly length: 16 };

/** An address and a port, the end of a TCP connection. */
export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

export type Family = "ipv4" | "ipv6";

const MAPPED_PREFIX = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/** The address in `bytes` (4 or 16 of them), or undefined for any other length. Copies. */
export function ipAddressFromBytes(bytes: Uint8Array): IpAddress | undefined {
  const address = new Uint8Array(16);
  if (bytes.length === 4) {
    address.set(MAPPED_PREFIX);
    address.set(bytes, 12);
  } else if (bytes.length === 16) {
    address.set(bytes);
  } else {
    return undefined;
  }
  return address as IpAddress;
}

/** "::192.0.2.1": deprecated (RFC 4291 section 2.5.5.1), and ipaddr.js takes it for the mapped ::ffff:192.0.2.1. */
const IPV4_COMPATIBLE = /^::\d+\./;

/**
 * Parses the usual spellings, dotted quad or RFC 4291. A zone (fe80::1%eth0), the deprecated IPv4-compatible form or
 * anything else gives undefined.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const spelling = text.includes(":")
    ? ipaddr.IPv6.isValid(text) && !text.includes("%") && !IPV4_COMPATIBLE.test(text)
    : ipaddr.IPv4.isValidFourPartDecimal(text);
  return spelling ? ipAddressFromBytes(Uint8Array.from(ipaddr.parse(text).toByteArray())) : undefined;
}

/** Like {@link parseIpAddress} for literals in code and tests; throws a RangeError. */
export function ipAddress(text: string): IpAddress {
  const address = parseIpAddress(text);
  if (address === undefined) throw new RangeError(`not an IP address: ${text}`);
  return address;
}

/** Whether this is an IPv4(-mapped) address. */
export function isIpv4(address: IpAddress): boolean {
  for (let index = 0; index < MAPPED_PREFIX.length; index++) if (address[index] !== MAPPED_PREFIX[index]) return false;
  return true;
}

export function familyOf(address: IpAddress): Family {
  return isIpv4(address) ? "ipv4" : "ipv6";
}

/** 4 bytes for IPv4, 16 for IPv6: the form that socket addresses and netlink attributes carry. A view, not a copy. */
export function networkBytes(address: IpAddress): Uint8Array {
  return isIpv4(address) ? address.subarray(12) : address;
}

/** Dotted quad, or RFC 5952. */
export function formatIpAddress(address: IpAddress): string {
  return ipaddr.fromByteArray(Array.from(networkBytes(address))).toString();
}

/** "192.0.2.1:80" or "[2001:db8::1]:80". */
export function formatEndpoint({ address, port }: Endpoint): string {
  return isIpv4(address) ? `${formatIpAddress(address)}:${port}` : `[${formatIpAddress(address)}]:${port}`;
}

/** The address as a key of tables: a string of 8 UTF-16 units, quick to make and not for people. */
export function addressKey(address: IpAddress): string {
  return String.fromCharCode(
    readUint16(address, 0),
    readUint16(address, 2),
    readUint16(address, 4),
    readUint16(address, 6),
    readUint16(address, 8),
    readUint16(address, 10),
    readUint16(address, 12),
    readUint16(address, 14),
  );
}

/** The endpoint as a key of tables, in the same way: 9 units. */
export function endpointKey({ address, port }: Endpoint): string {
  return addressKey(address) + String.fromCharCode(port);
}

export function equalEndpoints(left: Endpoint, right: Endpoint): boolean {
  return left.port === right.port && equalBytes(left.address, right.address);
}
