/**
 * The keys of Convert cookies (RFC 8803 section 6.2.7) of the whole farm: a cookie from one gateway is good at all of them.
 * The registry keeps the keys and has a new one each time the newest is old. A new key is accepted at once, and makes
 * cookies when every node has had the time to hear of it.
 *
 * Without the registry a node goes on with the keys that it knows. One that has not known any makes cookies by a key of its
 * own; another gateway refuses them, and its client asks for a new one (one round trip).
 */
import { randomBytes } from "node:crypto";
import { COOKIE_KEY_BYTES, type CookieKey, type CookieKeys } from "@hybrid-access/core/services/registry/cookie-keys";
import type { Registry } from "@hybrid-access/core/services/registry/registry";

const TURN_MS = 5000;
/** Of a new key: time in which all nodes come to know it. */
const SPREADING_MS = 3 * TURN_MS;

export interface SharedCookieKeysOptions {
  readonly registry: Registry;
  /** After so long the farm's newest key gets a successor. */
  readonly lifeMs: number;
  /** {@link SharedCookieKeys.keys} has changed. */
  readonly onKeys: () => void;
}

export class SharedCookieKeys {
  readonly #options: SharedCookieKeysOptions;
  #known: readonly CookieKey[] = [];
  #keys: readonly Uint8Array[] = [drawKey()];
  #timer: NodeJS.Timeout | undefined;
  #asking: Promise<void> | undefined;
  #stopped = false;

  constructor(options: SharedCookieKeysOptions) {
    this.#options = options;
  }

  /** The first one makes cookies, all accept them; there is always one. */
  get keys(): readonly Uint8Array[] {
    return this.#keys;
  }

  /** Asks the registry for the farm's keys, and from now on every few seconds. Ends when it has answered or failed. */
  async ask(): Promise<void> {
    this.#asking ??= this.#askOnce().finally(() => {
      this.#asking = undefined;
    });
    await this.#asking;
  }

  async #askOnce(): Promise<void> {
    clearTimeout(this.#timer);
    const { registry, lifeMs, onKeys } = this.#options;
    try {
      const [fresh = drawKey()] = this.#known.length === 0 ? this.#keys : [];
      const answer = await registry.cookieKeys(this.#known, fresh, lifeMs);
      this.#known = answer.keys;
      const keys = inOrderOfUse(answer);
      const changed = String(keys) !== String(this.#keys);
      this.#keys = keys;
      if (changed) onKeys();
    } catch {
      // The registry counts what it did not answer (RegistryHealth).
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.ask(), TURN_MS);
    this.#timer.unref();
  }

  /** Without the keys. */
  status(): object {
    return { mode: this.#known.length === 0 ? "own" : "shared", keys: this.#keys.length };
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}

/** First the newest one that all nodes know; where none is so old, the oldest. */
export function inOrderOfUse({ nowMs, keys }: CookieKeys): Uint8Array[] {
  const used = keys.find(({ createdMs }) => nowMs - createdMs >= SPREADING_MS) ?? keys.at(-1);
  return [...keys.filter((key) => key === used), ...keys.filter((key) => key !== used)].map(({ key }) => key);
}

function drawKey(): Uint8Array {
  return new Uint8Array(randomBytes(COOKIE_KEY_BYTES));
}
