/** Convert messages that have been damaged, the same ones for one seed. */
import { type Random, randomBelow } from "@hybrid-access/core/base/random";

const MOST_TLVS = 3;
const MOST_EDITS = 4;
/** Version 1 and the Magic Number of RFC 8803 section 6.1. */
const HEADER = [1, 0, 0x22, 0x63];

/** A message of one to three of these TLVs, which may repeat, with one to four random edits. */
export function mutatedMessage(tlvs: readonly Uint8Array[], random: Random): Uint8Array {
  const bytes = [...HEADER];
  for (let count = 1 + randomBelow(random, MOST_TLVS); count > 0; count--) {
    bytes.push(...(tlvs[randomBelow(random, tlvs.length)] ?? []));
  }
  bytes[1] = bytes.length / 4;
  return mutate(bytes, random);
}

/** A byte changed, removed or added, or the end cut off. */
function mutate(bytes: number[], random: Random): Uint8Array {
  for (let edits = 1 + randomBelow(random, MOST_EDITS); edits > 0; edits--) {
    const at = randomBelow(random, bytes.length + 1);
    const byte = randomBelow(random, 256);
    const edit = randomBelow(random, 4);
    if (edit === 0) bytes[Math.min(at, bytes.length - 1)] = byte;
    else if (edit === 1) bytes.splice(at, 1);
    else if (edit === 2) bytes.splice(at, 0, byte);
    else bytes.length = at;
    if (bytes.length === 0) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
