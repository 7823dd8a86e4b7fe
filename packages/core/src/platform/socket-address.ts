/** struct sockaddr_in and sockaddr_in6 (16 and 28 bytes; family in host order, port and address in network order). */

import { readUint16, writeUint16 } from "../base/bytes.ts";
import { type Endpoint, type IpAddress, ipAddressFromBytes, isIpv4 } from "../base/ip-address.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;

const SOCKADDR_IN_BYTES = 16;
export const SOCKADDR_IN6_BYTES = 28;

/** The family of socket that reaches `address`. */
export function addressFamily(address: IpAddress): number {
  return isIpv4(address) ? AF_INET : AF_INET6;
}

/** The socket address of `endpoint` in its own family: IPv4 endpoints never become mapped ones. */
export function encodeSocketAddress(endpoint: Endpoint): Uint8Array {
  const bytes = new Uint8Array(SOCKADDR_IN6_BYTES);
  return bytes.subarray(0, writeSocketAddress(endpoint, bytes));
}

/** The same into a buffer of at least {@link SOCKADDR_IN6_BYTES}; gives the length. */
export function writeSocketAddress({ address, port }: Endpoint, into: Uint8Array): number {
  const ipv4 = isIpv4(address);
  const [length, at, from] = ipv4 ? [SOCKADDR_IN_BYTES, 4, 12] : [SOCKADDR_IN6_BYTES, 8, 0];
  into.fill(0, 0, length);
  into[0] = ipv4 ? AF_INET : AF_INET6;
  writeUint16(into, 2, port);
  for (let index = from; index < address.length; index++) into[at + index - from] = address[index] as number;
  return length;
}

/** The endpoint of a socket address of either family; a mapped IPv4 address and a plain one come out the same. */
export function decodeSocketAddress(bytes: Uint8Array): Endpoint | undefined {
  const family = bytes[0];
  const address =
    family === AF_INET
      ? ipAddressFromBytes(bytes.subarray(4, 8))
      : family === AF_INET6
        ? ipAddressFromBytes(bytes.subarray(8, 24))
        : undefined;
  return address && { address, port: readUint16(bytes, 2) };
}
