/** Unpredictable bytes, for keys, sequence numbers and ports. */
import { randomBytes } from "node:crypto";

/** In an array of their own: not in a pool that other data shares. */
export function secureRandomBytes(length: number): Uint8Array {
  return Uint8Array.from(randomBytes(length));
}
