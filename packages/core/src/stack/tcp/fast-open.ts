/** Cookies of Fast Open (RFC 7413 section 4.1): a server's, and those that a client has been given. */
import { equalSecrets } from "../../base/bytes.ts";
import type { Hashes } from "../../base/hashes.ts";
import { type Endpoint, endpointKey, type IpAddress } from "../../base/ip-address.ts";
import type { StackPorts } from "../ports.ts";

/** RFC 7413 section 4.1.1: 4 to 16. More would not fit into a SYN-ACK beside MP_CAPABLE and all options of TCP. */
const COOKIE_BYTES = 6;
const SECRET_BYTES = 16;
/** A secret makes cookies for this time, and its cookies are good for as long again. */
export const SECRET_LIFE_MS = 3_600_000;
/** Servers whose cookie a client remembers. */
export const MOST_COOKIES = 1024;

/** A server's: bound to the client's address, valid for one to two lives of a secret. */
export class FastOpenCookies {
  readonly #ports: StackPorts;
  #secrets: readonly Uint8Array[];
  #sinceMs: number;

  constructor(ports: StackPorts, nowMs: number) {
    this.#ports = ports;
    this.#secrets = [ports.randomBytes(SECRET_BYTES)];
    this.#sinceMs = nowMs;
  }

  make(client: IpAddress, nowMs: number): Uint8Array {
    this.#rotate(nowMs);
    return cookieOf(this.#ports.hashes, this.#secrets[0] ?? new Uint8Array(SECRET_BYTES), client);
  }

  isGood(client: IpAddress, cookie: Uint8Array, nowMs: number): boolean {
    this.#rotate(nowMs);
    return this.#secrets.some((secret) => equalSecrets(cookieOf(this.#ports.hashes, secret, client), cookie));
  }

  #rotate(nowMs: number): void {
    if (nowMs - this.#sinceMs < SECRET_LIFE_MS) return;
    const kept = nowMs - this.#sinceMs < 2 * SECRET_LIFE_MS ? this.#secrets.slice(0, 1) : [];
    this.#secrets = [this.#ports.randomBytes(SECRET_BYTES), ...kept];
    this.#sinceMs = nowMs;
  }
}

function cookieOf(hashes: Hashes, secret: Uint8Array, client: IpAddress): Uint8Array {
  return hashes.hmacSha256(secret, client).slice(0, COOKIE_BYTES);
}

/** A client's: the cookie that each server has given last. */
export class CookieCache {
  readonly #cookies = new Map<string, Uint8Array>();

  get(server: Endpoint): Uint8Array | undefined {
    return this.#cookies.get(endpointKey(server));
  }

  /** Remembers a cookie; of {@link MOST_COOKIES} the one given first goes. */
  put(server: Endpoint, cookie: Uint8Array): void {
    const key = endpointKey(server);
    this.#cookies.delete(key);
    const [oldest] = this.#cookies.keys();
    if (this.#cookies.size >= MOST_COOKIES && oldest !== undefined) this.#cookies.delete(oldest);
    this.#cookies.set(key, cookie);
  }

  forget(server: Endpoint): void {
    this.#cookies.delete(endpointKey(server));
  }
}
