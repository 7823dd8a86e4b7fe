/** Hash functions as a port: pure code asks for them, its caller brings the platform's. */

export type HashAlgorithm = "sha1" | "sha256";

export interface Hashes {
  /** 20 bytes of SHA-1, 32 of SHA-256. */
  digest(algorithm: HashAlgorithm, bytes: Uint8Array): Uint8Array;
  /** RFC 2104, as long as the digest. */
  hmac(algorithm: HashAlgorithm, key: Uint8Array, message: Uint8Array): Uint8Array;
}
