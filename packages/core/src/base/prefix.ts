/** Address prefixes (CIDR) over the 16-byte form of ip-address.ts. */
import { equalBytes } from "./bytes.ts";
import { formatIpAddress, type IpAddress, isIpv4, parseIpAddress } from "./ip-address.ts";

/** `length` counts bits of the 16-byte form: an IPv4 /8 has length 104. Host bits of `address` are zero. */
export interface Prefix {
  readonly address: IpAddress;
  readonly length: number;
}

/** Parses "10.0.0.0/8", "fd00::/8" or a single address; undefined when it is none. Host bits are cleared. */
export function parsePrefix(text: string): Prefix | undefined {
  const [spelling = "", bits, ...rest] = text.split("/");
  const address = parseIpAddress(spelling);
  if (address === undefined || rest.length > 0) return undefined;
  const width = spelling.includes(":") ? 128 : 32;
  if (bits !== undefined && !/^\d{1,3}$/.test(bits)) return undefined;
  const bitCount = bits === undefined ? width : Number(bits);
  return bitCount > width ? undefined : makePrefix(address, 128 - width + bitCount);
}

/** Like {@link parsePrefix} for literals in code and tests; throws a RangeError. */
export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new RangeError(`not a prefix: ${text}`);
  return parsed;
}

/** The prefix of `length` bits (of 128) that holds `address`. */
export function makePrefix(address: IpAddress, length: number): Prefix {
  const bytes = Uint8Array.from(address);
  for (let index = 0; index < 16; index++) {
    const bits = Math.min(8, Math.max(0, length - 8 * index));
    bytes[index] = (bytes[index] ?? 0) & (0xff00 >> bits);
  }
  return { address: bytes as IpAddress, length };
}

/** Whether `address` lies in `prefix`. */
export function contains(prefix: Prefix, address: IpAddress): boolean {
  const whole = prefix.length >> 3;
  for (let index = 0; index < whole; index++) {
    if (address[index] !== prefix.address[index]) return false;
  }
  const bits = prefix.length & 7;
  return bits === 0 || ((address[whole] ?? 0) & (0xff00 >> bits) & 0xff) === prefix.address[whole];
}

/** The first prefix of `prefixes` that holds `address`. */
export function findPrefix(prefixes: readonly Prefix[], address: IpAddress): Prefix | undefined {
  return prefixes.find((prefix) => contains(prefix, address));
}

export function equalPrefixes(left: Prefix, right: Prefix): boolean {
  return left.length === right.length && equalBytes(left.address, right.address);
}

/** "10.0.0.0/8" or "fd00::/8". */
export function formatPrefix({ address, length }: Prefix): string {
  return `${formatIpAddress(address)}/${isIpv4(address) && length >= 96 ? length - 96 : length}`;
}
