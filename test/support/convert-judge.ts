/**
 * Says what is right for the first bytes of a connection to a converter, from the text of RFC 8803 section 6 and without
 * the code under test: no import of it, no constant of it.
 *
 * The judge reads in the order in which bytes arrive; the first thing that is wrong decides. What the RFC leaves open is
 * marked "our reading".
 */

export type ConvertVerdict =
  /** Nothing wrong so far; more must come. */
  | { readonly outcome: "incomplete" }
  /** Not the Convert protocol. */
  | { readonly outcome: "foreign" }
  /** To be answered with this error: 0 Unsupported Version, 1 Malformed Message, 2 Unsupported Message (section 6.2.8). */
  | { readonly outcome: "error"; readonly code: 0 | 1 | 2 }
  /** `tlvs`: what stands behind Type and Length of each, by type. */
  | { readonly outcome: "valid"; readonly byteLength: number; readonly tlvs: ReadonlyMap<number, readonly number[]> };

const MALFORMED: ConvertVerdict = { outcome: "error", code: 1 };
const UNSUPPORTED: ConvertVerdict = { outcome: "error", code: 2 };

/** Section 6.1: Version, Total Length in words of 4 bytes, Magic Number 0x2263. */
export function judgeConvert(received: Uint8Array): ConvertVerdict {
  const [version, words = 0, ...magic] = Array.from(received.subarray(0, 4));
  // Our reading: who sends something else than the Magic Number need not be waited for.
  if (magic.some((byte, index) => byte !== [0x22, 0x63][index])) return { outcome: "foreign" };
  if (magic.length < 2) return { outcome: "incomplete" };
  if (version !== 1) return { outcome: "error", code: 0 };
  // The header itself is one word.
  if (words === 0) return MALFORMED;
  if (received.length < 4 * words) return { outcome: "incomplete" };
  return judgeTlvs(Array.from(received.subarray(4, 4 * words)), 4 * words);
}

/** Section 6.2: Type, Length in words with these two bytes included, Value; each type at most once. */
function judgeTlvs(bytes: readonly number[], byteLength: number): ConvertVerdict {
  const tlvs = new Map<number, readonly number[]>();
  for (let rest = bytes; rest.length > 0; ) {
    const [type = 0, words = 0] = rest;
    if (words === 0 || 4 * words > rest.length || tlvs.has(type)) return MALFORMED;
    const value = rest.slice(2, 4 * words);
    const isRight = VALUES[type];
    if (isRight === undefined) return UNSUPPORTED;
    if (!isRight(value)) return MALFORMED;
    tlvs.set(type, value);
    rest = rest.slice(4 * words);
  }
  return { outcome: "valid", byteLength, tlvs };
}

/** Table 1 of section 6.2.2, and what this project uses of the range for private use. The first two bytes are reserved. */
const VALUES: Readonly<Record<number, (value: readonly number[]) => boolean>> = {
  /** Section 6.2.3, Info: nothing else. */
  1: (value) => value.length === 2,
  /** Section 6.2.5, Connect: port (2), address (16), options of the SYN. */
  10: (value) => value.length >= 18 && isConnectOptions(value.slice(18)),
  /** Section 6.2.6, Extended TCP Header: the options of the SYN+ACK as they came, so with those of one byte. */
  20: (value) => areTcpOptions(value.slice(2)),
  /** Section 6.2.4, Supported TCP Extensions: kinds, padded with zeros. 0, 1 and 2 are not listed. */
  21: (value) => isPadded(value.slice(2), (kind) => kind > 2),
  /** Section 6.2.7, Cookie. Our reading: one without a byte is none. */
  22: (value) => value.length > 2,
  /** Section 6.2.8, Error: a code, and a value by the code. */
  30: () => true,
  /** docs/adr/0016: the limit of subflows is at least 1. */
  192: (value) => value.length === 2 && value[1] !== 0,
  /** The gateway's load: more than 100 is read as 100. */
  193: (value) => value.length === 2,
};

/** Items that pass, then fewer than four zeros up to the word's end. */
function isPadded(bytes: readonly number[], isItem: (byte: number) => boolean): boolean {
  const items = bytes.indexOf(0);
  const padding = items === -1 ? [] : bytes.slice(items);
  return bytes.slice(0, bytes.length - padding.length).every(isItem) && padding.length < 4 && padding.every(isZero);
}

function isZero(byte: number): boolean {
  return byte === 0;
}

/** Section 6.2.5: options of one byte (0, 1) are not listed, so that a zero is padding. */
function isConnectOptions(bytes: readonly number[]): boolean {
  const [kind, length = 0] = bytes;
  if (bytes.length < 4 && bytes.every(isZero)) return true;
  if (kind === 0 || kind === 1 || length < 2 || length > bytes.length) return false;
  return isConnectOptions(bytes.slice(length));
}

/** RFC 9293 section 3.1: behind the end of the list (0) anything may stand. */
function areTcpOptions(bytes: readonly number[]): boolean {
  const [kind, length = 0] = bytes;
  if (kind === undefined || kind === 0) return true;
  if (kind === 1) return areTcpOptions(bytes.slice(1));
  return length >= 2 && length <= bytes.length && areTcpOptions(bytes.slice(length));
}
