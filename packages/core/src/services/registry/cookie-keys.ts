/**
 * The keys of a farm's Convert cookies, as text: "CREATED KEY CREATED KEY ...", the newest first; CREATED in milliseconds of
 * the registry's clock, KEY 32 bytes in hexadecimal.
 */
import { fromHex, toHex } from "../../base/bytes.ts";

export const COOKIE_KEY_BYTES = 32;
/** The one that makes cookies, the one before it, and the one that is to follow. */
export const MOST_COOKIE_KEYS = 3;

export interface CookieKey {
  readonly createdMs: number;
  readonly key: Uint8Array;
}

/** The farm's keys at a moment of the registry's clock. */
export interface CookieKeys {
  readonly nowMs: number;
  /** The newest first; at least one. */
  readonly keys: readonly CookieKey[];
}

export function encodeCookieKeys(keys: readonly CookieKey[]): string {
  return keys.map(({ createdMs, key }) => `${createdMs} ${toHex(key)}`).join(" ");
}

/** The keys in {@link encodeCookieKeys}'s text; undefined for anything else, and for none. */
export function decodeCookieKeys(text: unknown): CookieKey[] | undefined {
  if (typeof text !== "string") return undefined;
  const words = text.split(" ", 2 * MOST_COOKIE_KEYS + 1);
  if (words.length % 2 !== 0) return undefined;
  const keys: CookieKey[] = [];
  for (let index = 0; index < words.length; index += 2) {
    const [created = "", hex = ""] = [words[index], words[index + 1]];
    if (!/^\d{1,15}$/.test(created) || !/^[0-9a-f]{64}$/.test(hex)) return undefined;
    keys.push({ createdMs: Number(created), key: fromHex(hex) });
  }
  return keys;
}

/**
 * What the farm's keys become when a node asks for them that has `known`: all of both, so that none is refused when the
 * registry had lost them and a node without any came first; and `fresh` when the newest is `lifeMs` old.
 */
export function renewCookieKeys(
  keys: readonly CookieKey[],
  known: readonly CookieKey[],
  fresh: Uint8Array,
  nowMs: number,
  lifeMs: number,
): readonly CookieKey[] {
  const all = new Map([...keys, ...known].map((one) => [toHex(one.key), one]));
  const sorted = Array.from(all.values()).sort((left, right) => right.createdMs - left.createdMs);
  const [newest] = sorted;
  const due = newest === undefined || newest.createdMs + lifeMs <= nowMs;
  return [...(due ? [{ createdMs: nowMs, key: fresh }] : []), ...sorted].slice(0, MOST_COOKIE_KEYS);
}
