/**
 * Sequence numbers. On the wire they are 32 bits (TCP, RFC 9293 section 3.4) or 64 bits (Multipath TCP, RFC 8684
 * section 3.3.1) and wrap; inside the stack they are positions in the stream, plain numbers that only grow. These
 * functions stand at the door between the two, so that nothing behind it compares numbers that wrap.
 */

const SPACE = 0x1_0000_0000;
const HALF = 0x8000_0000;

/** The 32-bit number of `position`, when position 0 has the number `origin`. */
export function toSequence(origin: number, position: number): number {
  return (origin + (position % SPACE) + SPACE) % SPACE;
}

/**
 * The position of the 32-bit number `sequence`: of all positions with this number the one nearest to `reference`.
 * Negative where the number lies before the stream's start.
 */
export function toPosition(origin: number, sequence: number, reference: number): number {
  const ahead = (((sequence - toSequence(origin, reference)) % SPACE) + SPACE) % SPACE;
  return reference + (ahead < HALF ? ahead : ahead - SPACE);
}

/** Whether the 32-bit number `left` comes before `right` (RFC 9293 section 3.4: less than, modulo 2^32). */
export function isBefore(left: number, right: number): boolean {
  return ((left - right) | 0) < 0;
}

/** The 64-bit number of `position`, when position 0 has the number `origin`. */
export function toSequence64(origin: bigint, position: number): bigint {
  return BigInt.asUintN(64, origin + BigInt(position));
}

/**
 * The position of the 64-bit number `sequence`, seen from `origin`; positions before it are negative. Exact within
 * 2^53.
 */
export function toPosition64(origin: bigint, sequence: bigint): number {
  return Number(BigInt.asIntN(64, sequence - origin));
}
