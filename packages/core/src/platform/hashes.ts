/** The hash functions of Node's crypto module, for pure code that asks for them. */
import { createHash, createHmac } from "node:crypto";
import type { Hashes } from "../base/hashes.ts";

export const PLATFORM_HASHES: Hashes = {
  sha1: (message) => digest("sha1", message),
  sha256: (message) => digest("sha256", message),
  hmacSha1: (key, message) => hmac("sha1", key, message),
  hmacSha256: (key, message) => hmac("sha256", key, message),
};

function digest(algorithm: string, message: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash(algorithm).update(message).digest());
}

function hmac(algorithm: string, key: Uint8Array, message: Uint8Array): Uint8Array {
  return Uint8Array.from(createHmac(algorithm, key).update(message).digest());
}
