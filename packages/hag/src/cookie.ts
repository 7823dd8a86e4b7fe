/**
 * Cookies (RFC 8803 section 6.2.7): the proof that a client receives at the address it sends from. Bound to the client's
 * address by HMAC-SHA256, so the gateway keeps no state; the first key makes cookies, all keys accept them (rotation).
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IpAddress } from "@hybrid-access/core/base/ip-address";

const COOKIE_BYTES = 16;

/** The cookie of `client` under `key`. */
export function makeCookie(key: Uint8Array, client: IpAddress): Uint8Array {
  return Uint8Array.from(createHmac("sha256", key).update(client).digest().subarray(0, COOKIE_BYTES));
}

/** Whether `cookie` was made for `client` under one of `keys`. Takes the same time whatever bytes differ. */
export function isCookieValid(keys: readonly Uint8Array[], client: IpAddress, cookie: Uint8Array): boolean {
  if (cookie.length !== COOKIE_BYTES) return false;
  return keys.map((key) => timingSafeEqual(makeCookie(key, client), cookie)).includes(true);
}
