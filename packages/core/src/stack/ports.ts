/** What the stack needs and may not reach for itself: its caller brings randomness and hashing. */

/** Unpredictable numbers, and the hash functions of RFC 6528, 7413, 6824 (SHA-1) and 8684 (SHA-256). All are synchronous. */
export interface StackCrypto {
  /** Unpredictable bytes in an array of its own. */
  randomBytes(length: number): Uint8Array;
  /** 20 bytes. */
  sha1(message: Uint8Array): Uint8Array;
  /** 32 bytes. */
  sha256(message: Uint8Array): Uint8Array;
  /** RFC 2104 over SHA-1: 20 bytes. */
  hmacSha1(key: Uint8Array, message: Uint8Array): Uint8Array;
  /** RFC 2104 over SHA-256: 32 bytes. */
  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array;
}
