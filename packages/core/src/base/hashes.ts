/** Hash functions as a port: pure code asks for them, its caller brings the platform's. All are synchronous. */
export interface Hashes {
  /** 20 bytes. */
  sha1(message: Uint8Array): Uint8Array;
  /** 32 bytes. */
  sha256(message: Uint8Array): Uint8Array;
  /** RFC 2104 over SHA-1: 20 bytes. */
  hmacSha1(key: Uint8Array, message: Uint8Array): Uint8Array;
  /** RFC 2104 over SHA-256: 32 bytes. */
  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array;
}
