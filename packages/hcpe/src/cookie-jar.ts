/** Cookies that gateways gave (RFC 8803 section 6.2.7), each for one gateway and one source address. Pure. */
import { addressKey, type IpAddress } from "@hybrid-access/core/base/ip-address";

/** More than gateways times addresses in use at once; what is over goes with the addresses it belonged to. */
const MOST_COOKIES = 64;

export class CookieJar {
  readonly #cookies = new Map<string, Uint8Array>();

  get size(): number {
    return this.#cookies.size;
  }

  get(gateway: number, source: IpAddress | undefined): Uint8Array | undefined {
    return this.#cookies.get(keyOf(gateway, source));
  }

  /** Keeps a cookie in place of an earlier one; the 65th drives out the one that was given first. */
  set(gateway: number, source: IpAddress | undefined, cookie: Uint8Array): void {
    const key = keyOf(gateway, source);
    this.#cookies.delete(key);
    this.#cookies.set(key, cookie);
    const [oldest] = this.#cookies.keys();
    if (this.#cookies.size > MOST_COOKIES && oldest !== undefined) this.#cookies.delete(oldest);
  }

  /** Forgets all that a gateway gave. */
  deleteAll(gateway: number): void {
    for (const key of this.#cookies.keys()) if (key.startsWith(`${gateway} `)) this.#cookies.delete(key);
  }

  delete(gateway: number, source: IpAddress | undefined): void {
    this.#cookies.delete(keyOf(gateway, source));
  }
}

function keyOf(gateway: number, source: IpAddress | undefined): string {
  return `${gateway} ${source === undefined ? "" : addressKey(source)}`;
}
