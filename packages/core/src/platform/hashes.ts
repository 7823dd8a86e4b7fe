/** The hash functions of Node's crypto module, for pure code that asks for them. */
import { createHash, createHmac } from "node:crypto";
import type { Hashes } from "../base/hashes.ts";

export const PLATFORM_HASHES: Hashes = {
  digest: (algorithm, bytes) => Uint8Array.from(createHash(algorithm).update(bytes).digest()),
  hmac: (algorithm, key, message) => Uint8Array.from(createHmac(algorithm, key).update(message).digest()),
};
