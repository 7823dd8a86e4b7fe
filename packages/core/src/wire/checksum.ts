/**
 * The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words. Sums here are
 * numbers that may exceed 16 bits until {@link foldSum}; they can be added up over the parts of a packet as long as every
 * part but the last has an even length.
 */
import { readUint16 } from "../base/bytes.ts";
import { type IpAddress, networkBytes } from "../base/ip-address.ts";

/** Below this, making a view of the array costs more than it saves. */
const LEAST_VIEWED_BYTES = 256;
const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Sums up bytes from `start` to `end`, at most 2^37 of them: a number holds 53 bits. */
export function sumWords(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const isEven = ((bytes.byteOffset + start) & 1) === 0;
  return isEven && end - start >= LEAST_VIEWED_BYTES ? sumByView(bytes, start, end) : sumByBytes(bytes, start, end);
}

function sumByBytes(bytes: Uint8Array, start: number, end: number): number {
  let total = 0;
  const lastWord = end - 1;
  let at = start;
  for (; at < lastWord; at += 2) total += readUint16(bytes, at);
  // RFC 1071 section 1: an odd last byte is padded with a zero on the right.
  return at < end ? total + ((bytes[at] ?? 0) << 8) : total;
}

/** Sums up 32 bits at a time, in the machine's order of bytes: the sum has the same order (RFC 1071 section 2, B and C). */
function sumByView(bytes: Uint8Array, start: number, end: number): number {
  const aligned = start + ((bytes.byteOffset + start) & 2);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + aligned, (end - aligned) >>> 2);
  let [high, low] = [0, 0];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? 0;
    high += word >>> 16;
    low += word & 0xffff;
  }
  const sum = foldSum(high + low);
  const ends = sumByBytes(bytes, start, aligned) + sumByBytes(bytes, aligned + 4 * words.length, end);
  return ends + (IS_LITTLE_ENDIAN ? swapBytes(sum) : sum);
}

function swapBytes(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}

/**
 * Adds `bytes` to the sum of what comes before them, `offset` bytes of it. Behind an odd number of bytes every word's
 * halves change places, and so do the sum's (RFC 1071 section 2, B).
 */
export function addPart(sum: number, offset: number, bytes: Uint8Array): number {
  const part = foldSum(sumWords(bytes));
  return sum + ((offset & 1) === 0 ? part : swapBytes(part));
}

/** The sum as 16 bits, carries added at the low end. */
export function foldSum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/** The checksum of what was summed up, its own field being zero. */
export function checksumOfSum(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}

/** Whether a sum that includes the checksum's own field says that nothing was changed. */
export function isSound(sum: number): boolean {
  return foldSum(sum) === 0xffff;
}

/**
 * The checksum after words that summed up to `before` were replaced with words that sum up to `after` (RFC 1624,
 * equation 3). `before` and `after` may both include the checksum's own field, which then cancels out.
 */
export function adjustChecksum(checksum: number, before: number, after: number): number {
  return checksumOfSum((~checksum & 0xffff) + (~foldSum(before) & 0xffff) + after);
}

/**
 * The sum of the pseudo header of a transport protocol: addresses, length, protocol (RFC 9293 section 3.1 for IPv4,
 * RFC 8200 section 8.1 for IPv6). Both families have the same sum for the same numbers.
 */
export function pseudoHeaderSum(source: IpAddress, destination: IpAddress, protocol: number, length: number): number {
  const addresses = sumWords(networkBytes(source)) + sumWords(networkBytes(destination));
  return addresses + protocol + (length >>> 16) + (length & 0xffff);
}
