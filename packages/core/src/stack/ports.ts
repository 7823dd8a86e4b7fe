/** What the stack needs and may not reach for itself: its caller brings randomness and hashing. */
import type { Hashes } from "../base/hashes.ts";

export interface StackPorts {
  /** The hash functions of RFC 6528, 7413, 6824 (SHA-1) and 8684 (SHA-256). */
  readonly hashes: Hashes;
  /** Unpredictable bytes in an array of its own. */
  randomBytes(length: number): Uint8Array;
}
