/**
 * The options of a TCP segment as values. `../tcp-options.ts` knows options as kind and bytes; here they have a meaning.
 * An option whose kind is not known, or whose length is not one its kind has, is kept as "unknown": it is to be ignored
 * (RFC 9293 section 3.1), and can still be shown and passed on.
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from "../../base/bytes.ts";
import { emitMptcpOption, mptcpOptionByteLength } from "../mptcp/emit.ts";
import type { MptcpOption } from "../mptcp/options.ts";
import { parseMptcpOption } from "../mptcp/parse.ts";
import { TCP_OPTION } from "../tcp-options.ts";

/** One block of SACK (RFC 2018 section 3): sequence numbers of its first byte, and of the byte behind its last. */
export interface SackBlock {
  readonly left: number;
  readonly right: number;
}

export type SegmentOption =
  /** RFC 9293 section 3.7.1: the largest segment the sender takes, in bytes. 4 bytes. */
  | { readonly type: "maximumSegmentSize"; readonly bytes: number }
  /** RFC 7323 section 2.2; what exceeds 14 is to be used as 14. 3 bytes. */
  | { readonly type: "windowScale"; readonly shift: number }
  /** RFC 2018 section 2. 2 bytes. */
  | { readonly type: "sackPermitted" }
  /** RFC 2018 section 3: one to four blocks, the newest first. 2 bytes and 8 for each. */
  | { readonly type: "sack"; readonly blocks: readonly SackBlock[] }
  /** RFC 7323 section 3.2: TSval and TSecr. 10 bytes. */
  | { readonly type: "timestamps"; readonly value: number; readonly echoReply: number }
  /** RFC 7413 section 4.1.1: no bytes (a request), or 4 to 16, an even number. */
  | { readonly type: "fastOpen"; readonly cookie: Uint8Array }
  /** `data` is what follows the length byte. */
  | { readonly type: "unknown"; readonly kind: number; readonly data: Uint8Array }
  | MptcpOption;

/** The room for options in a TCP header (RFC 9293 section 3.1): a data offset of 15 words less five. */
export const MOST_OPTION_BYTES = 40;

/** Reads a whole option, from its kind on, whose length is one of the form's. */
type Read = (option: Uint8Array) => SegmentOption | undefined;

const MPTCP_LENGTHS = Array.from({ length: MOST_OPTION_BYTES - 2 }, (_, index) => index + 3);

/** The known kinds: their lengths in bytes, kind and length included, and who reads them. */
const FORMS: Readonly<Record<number, { readonly lengths: readonly number[]; readonly read: Read }>> = {
  [TCP_OPTION.maximumSegmentSize]: {
    lengths: [4],
    read: (option) => ({ type: "maximumSegmentSize", bytes: readUint16(option, 2) }),
  },
  [TCP_OPTION.windowScale]: { lengths: [3], read: (option) => ({ type: "windowScale", shift: option[2] ?? 0 }) },
  [TCP_OPTION.sackPermitted]: { lengths: [2], read: () => ({ type: "sackPermitted" }) },
  [TCP_OPTION.sack]: { lengths: [10, 18, 26, 34], read: readSack },
  [TCP_OPTION.timestamps]: { lengths: [10], read: readTimestamps },
  [TCP_OPTION.fastOpenCookie]: {
    lengths: [2, 6, 8, 10, 12, 14, 16, 18],
    read: (option) => ({ type: "fastOpen", cookie: option.slice(2) }),
  },
  [TCP_OPTION.multipathTcp]: { lengths: MPTCP_LENGTHS, read: parseMptcpOption },
};

function readSack(option: Uint8Array): SegmentOption {
  const blocks: SackBlock[] = [];
  for (let at = 2; at < option.length; at += 8) {
    blocks.push({ left: readUint32(option, at), right: readUint32(option, at + 4) });
  }
  return { type: "sack", blocks };
}

function readTimestamps(option: Uint8Array): SegmentOption {
  return { type: "timestamps", value: readUint32(option, 2), echoReply: readUint32(option, 6) };
}

/**
 * The options that stand in `bytes` from `start` to `end`, up to the end of the list. Undefined when a length is below 2
 * or reaches beyond `end`: where the next option begins is then unknown.
 */
export function parseSegmentOptions(bytes: Uint8Array, start: number, end: number): SegmentOption[] | undefined {
  const options: SegmentOption[] = [];
  for (let at = start; at < end; ) {
    const kind = bytes[at] ?? 0;
    if (kind === TCP_OPTION.endOfList) break;
    if (kind === TCP_OPTION.noOperation) {
      at += 1;
      continue;
    }
    const length = at + 1 < end ? (bytes[at + 1] ?? 0) : 0;
    if (length < 2 || at + length > end) return undefined;
    options.push(parseOption(bytes.subarray(at, at + length)));
    at += length;
  }
  return options;
}

function parseOption(option: Uint8Array): SegmentOption {
  const kind = option[0] ?? 0;
  const form = FORMS[kind];
  const known = form?.lengths.includes(option.length) ? form.read(option) : undefined;
  return known ?? { type: "unknown", kind, data: option.slice(2) };
}

/** The option's length on the wire, kind and length included. */
export function segmentOptionByteLength(option: SegmentOption): number {
  switch (option.type) {
    case "maximumSegmentSize":
      return 4;
    case "windowScale":
      return 3;
    case "sackPermitted":
      return 2;
    case "sack":
      return 2 + 8 * option.blocks.length;
    case "timestamps":
      return 10;
    case "fastOpen":
      return 2 + option.cookie.length;
    case "unknown":
      return 2 + option.data.length;
    default:
      return mptcpOptionByteLength(option);
  }
}

/** The length of all of them on the wire, without what pads them to whole words. */
export function segmentOptionsByteLength(options: readonly SegmentOption[]): number {
  let sum = 0;
  for (const option of options) sum += segmentOptionByteLength(option);
  return sum;
}

/** The options that find no room any more behind those before them; empty when all fit. */
export function optionsWithoutRoom(options: readonly SegmentOption[]): readonly SegmentOption[] {
  let used = 0;
  const first = options.findIndex((option) => {
    used += segmentOptionByteLength(option);
    return used > MOST_OPTION_BYTES;
  });
  return first === -1 ? [] : options.slice(first);
}

/** Writes the options one behind the other, which must fit. Returns the end. */
export function emitSegmentOptions(options: readonly SegmentOption[], into: Uint8Array, offset: number): number {
  let at = offset;
  for (const option of options) {
    const length = segmentOptionByteLength(option);
    emitOption(option, length, into, at);
    at += length;
  }
  return at;
}

function emitOption(option: SegmentOption, length: number, into: Uint8Array, at: number): void {
  const head = (kind: number) => writeUint16(into, at, (kind << 8) | length);
  switch (option.type) {
    case "maximumSegmentSize":
      head(TCP_OPTION.maximumSegmentSize);
      return writeUint16(into, at + 2, option.bytes);
    case "windowScale":
      head(TCP_OPTION.windowScale);
      into[at + 2] = option.shift;
      return;
    case "sackPermitted":
      return head(TCP_OPTION.sackPermitted);
    case "sack":
      head(TCP_OPTION.sack);
      return emitSackBlocks(option.blocks, into, at + 2);
    case "timestamps":
      head(TCP_OPTION.timestamps);
      writeUint32(into, at + 2, option.value);
      return writeUint32(into, at + 6, option.echoReply);
    case "fastOpen":
      head(TCP_OPTION.fastOpenCookie);
      return into.set(option.cookie, at + 2);
    case "unknown":
      head(option.kind);
      return into.set(option.data, at + 2);
    default:
      head(TCP_OPTION.multipathTcp);
      return emitMptcpOption(option, into, at);
  }
}

function emitSackBlocks(blocks: readonly SackBlock[], into: Uint8Array, offset: number): void {
  for (const [index, { left, right }] of blocks.entries()) {
    writeUint32(into, offset + 8 * index, left);
    writeUint32(into, offset + 8 * index + 4, right);
  }
}
