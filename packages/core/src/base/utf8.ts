/** UTF-8 (RFC 3629), for which the language itself has no encoder and pure code no TextEncoder. */

const REPLACEMENT_CHARACTER = 0xfffd;

/** The bytes of a text. Half a surrogate pair becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  return Uint8Array.from(Array.from(text).flatMap((character) => encodeCodePoint(character.codePointAt(0) ?? 0)));
}

function encodeCodePoint(point: number): number[] {
  if (point >= 0xd800 && point < 0xe000) return encodeCodePoint(REPLACEMENT_CHARACTER);
  const low = (shift: number) => 0x80 | ((point >> shift) & 0x3f);
  if (point < 0x80) return [point];
  if (point < 0x800) return [0xc0 | (point >> 6), low(0)];
  if (point < 0x10000) return [0xe0 | (point >> 12), low(6), low(0)];
  return [0xf0 | (point >> 18), low(12), low(6), low(0)];
}
