/**
 * The list of options that ends a TCP header (RFC 9293 section 3.1): kind, length, data; kinds 0 (end of list) and
 * 1 (no-operation) stand alone. Read RFC 9293 section 3.1 before changing this file.
 */
import { writeUint16 } from "../base/bytes.ts";

/** One option. `kind` is 2 to 255; `data` is what follows the length byte, at most 253 bytes. */
export interface TcpOption {
  readonly kind: number;
  readonly data: Uint8Array;
}

/** Option kinds in use, from IANA's "TCP Option Kind Numbers". */
export const TCP_OPTION = {
  endOfList: 0,
  noOperation: 1,
  maximumSegmentSize: 2,
  windowScale: 3,
  sackPermitted: 4,
  sack: 5,
  timestamps: 8,
  multipathTcp: 30,
  fastOpenCookie: 34,
} as const;

/** The options of `bytes` up to the end of the list, or undefined when a length does not fit. */
export function parseTcpOptions(bytes: Uint8Array): TcpOption[] | undefined {
  const options: TcpOption[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const kind = bytes[offset] ?? 0;
    if (kind === TCP_OPTION.endOfList) break;
    if (kind === TCP_OPTION.noOperation) {
      offset += 1;
      continue;
    }
    const length = bytes[offset + 1] ?? 0;
    if (length < 2 || offset + length > bytes.length) return undefined;
    options.push({ kind, data: bytes.slice(offset + 2, offset + length) });
    offset += length;
  }
  return options;
}

/** The length on the wire, padded to whole 32-bit words. */
export function tcpOptionsByteLength(options: readonly TcpOption[]): number {
  const unpadded = options.reduce((sum, option) => sum + 2 + option.data.length, 0);
  return (unpadded + 3) & ~3;
}

/** Writes `options` at `offset`; the padding is what was there (zero in a fresh array). Returns the end, unpadded. */
export function emitTcpOptions(options: readonly TcpOption[], into: Uint8Array, offset: number): number {
  let at = offset;
  for (const { kind, data } of options) {
    writeUint16(into, at, (kind << 8) | (2 + data.length));
    into.set(data, at + 2);
    at += 2 + data.length;
  }
  return at;
}
