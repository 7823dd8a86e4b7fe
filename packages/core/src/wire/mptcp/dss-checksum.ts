/** The checksum of DSS (RFC 8684 section 3.3.1): over the data of one mapping and a pseudo header. */
import { checksumOfSum } from "../checksum.ts";

/** What the pseudo header has: data sequence number(64), subflow sequence number(32), length(16), zeros(16). */
export interface ChecksummedMapping {
  /** All 64 bits, even where the option carries 32. */
  readonly sequence: bigint;
  /** Relative, as in the option. */
  readonly subflowSequence: number;
  /** As in the option: a DATA_FIN counts. */
  readonly length: number;
}

/**
 * The checksum of a mapping whose data sums up to `dataSum` (`sumWords`, or `addPart` over its segments). Of a DATA_FIN
 * that stands alone the data sums up to zero.
 */
export function dssChecksum({ sequence, subflowSequence, length }: ChecksummedMapping, dataSum: number): number {
  return checksumOfSum(sumOfQuad(sequence) + (subflowSequence >>> 16) + (subflowSequence & 0xffff) + length + dataSum);
}

function sumOfQuad(value: bigint): number {
  const high = Number(BigInt.asUintN(32, value >> 32n));
  const low = Number(BigInt.asUintN(32, value));
  return (high >>> 16) + (high & 0xffff) + (low >>> 16) + (low & 0xffff);
}
