/**
 * The registry in Redis, by ioredis: a single server, one behind Sentinels, or a Cluster. Calls of one turn of the event
 * loop travel together (autopipelining).
 *
 * Redis is allowed to be away: nothing is queued for later, a call without connection fails at once, one that waits
 * longer than its deadline fails then, and a connection that says nothing is given up and made anew.
 */
import { Cluster, Redis } from "ioredis";
import { toHex } from "../../base/bytes.ts";
import { type ClientCounts, decodeClientCounts, encodeClientCounts } from "./client-counts.ts";
import { type CookieKey, type CookieKeys, decodeCookieKeys, encodeCookieKeys } from "./cookie-keys.ts";
import { Keys, SCRIPTS, type ScriptName } from "./keys.ts";
import {
  decodeMember,
  encodeMember,
  identityOf,
  isNodeName,
  type Member,
  RENEWALS,
  type Registry,
  type RegistryHealth,
  type Renewal,
  unanswered,
} from "./registry.ts";

export interface RedisServer {
  /** A name, an address, or the path of a Unix socket (port is then meaningless). */
  readonly host: string;
  readonly port: number;
}

export interface RedisSettings {
  readonly mode: "single" | "sentinel" | "cluster";
  /** The server; or Sentinels; or some nodes of the Cluster. */
  readonly servers: readonly RedisServer[];
  /** The name under which Sentinels know the master. */
  readonly primary: string;
  /** The user of Redis's access control list. */
  readonly username?: string;
  readonly password?: string;
  /** With `ca`, PEM text, only certificates under it are believed. */
  readonly tls?: { readonly ca?: string };
}

/** How long a look-up may take: a SYN waits for it. */
const LOOKUP_MS = 50;
/** Nothing waits for a write but the next attempt. */
const WRITE_MS = 1000;
/** Without a byte for this long while calls wait, a connection counts as dead. */
const SILENCE_MS = 1500;
const CONNECT_MS = 1000;
const LONGEST_RETRY_MS = 500;
const FIRST_RETRY_MS = 50;
const MOST_WAITING = 16_384;

/** What is used of ioredis: both its classes have it, with the scripts as methods. */
type Client = Record<ScriptName, (...args: (string | number)[]) => Promise<unknown>> & {
  readonly status: string;
  get(key: string): Promise<unknown>;
  set(key: string, value: string, unit: "PX", milliseconds: number): Promise<unknown>;
  smembers(key: string): Promise<unknown>;
  disconnect(): void;
  on(event: "error", listener: (error: Error) => void): unknown;
};

export class RedisRegistry implements Registry {
  readonly #client: Client;
  readonly #keys: Keys;
  #waiting = 0;
  #corrupt = 0;
  #unanswered = 0;

  /** Connects in the background. `onError` hears of lost connections; every one is tried again without end. */
  constructor(farm: string, settings: RedisSettings, onError: (error: Error) => void) {
    this.#keys = new Keys(farm);
    this.#client = connect(settings);
    this.#client.on("error", onError);
  }

  get health(): RegistryHealth {
    return {
      connected: this.#client.status === "ready",
      corrupt: this.#corrupt,
      unanswered: this.#unanswered,
    };
  }

  async renew(member: Member, settings: string, leaseMs: number): Promise<Renewal> {
    const { members, settings: settingsKey } = this.#keys;
    const args = [members, settingsKey, member.name, identityOf(member), encodeMember(member), leaseMs, settings];
    const answer = await this.#within(WRITE_MS, () => this.#client.farmRenew(...args));
    return RENEWALS.find((renewal) => renewal === answer) ?? "renewed";
  }

  async leave(member: Member): Promise<void> {
    await this.#within(WRITE_MS, () => this.#client.farmLeave(this.#keys.members, member.name, identityOf(member)));
  }

  async members(): Promise<readonly Member[]> {
    const answer = await this.#within(WRITE_MS, () => this.#client.farmMembers(this.#keys.members));
    const flat: readonly unknown[] = Array.isArray(answer) ? answer : [];
    const members: Member[] = [];
    for (let index = 0; index < flat.length; index += 2) {
      const member = decodeMember(flat[index], flat[index + 1]);
      if (member === undefined) this.#corrupt += 1;
      else members.push(member);
    }
    return members;
  }

  async claimToken(token: number, node: string, ttlMs: number, force = false): Promise<string | undefined> {
    const keys = [this.#keys.token(token), this.#keys.tokensOf(node, token)];
    return this.#nodeIn(
      await this.#within(WRITE_MS, () =>
        this.#client.farmClaimToken(...keys, node, ttlMs, token, force ? "force" : ""),
      ),
    );
  }

  async releaseToken(token: number, node: string): Promise<void> {
    const keys = [this.#keys.token(token), this.#keys.tokensOf(node, token)];
    await this.#within(WRITE_MS, () => this.#client.farmReleaseToken(...keys, node, token));
  }

  async ownerOfToken(token: number): Promise<string | undefined> {
    return this.#nodeIn(await this.#within(LOOKUP_MS, () => this.#client.get(this.#keys.token(token))));
  }

  async tokensOf(node: string): Promise<readonly number[]> {
    const sets = await Promise.all(
      this.#keys.allTokensOf(node).map((key) => this.#within(WRITE_MS, () => this.#client.smembers(key))),
    );
    return sets.flatMap((set) => (Array.isArray(set) ? set.flatMap((token: unknown) => this.#tokenIn(token)) : []));
  }

  async claimFlow(flow: string, node: string, ttlMs: number): Promise<void> {
    await this.#within(WRITE_MS, () => this.#client.set(this.#keys.flow(flow), node, "PX", ttlMs));
  }

  async releaseFlow(flow: string, node: string): Promise<void> {
    await this.#within(WRITE_MS, () => this.#client.farmReleaseFlow(this.#keys.flow(flow), node));
  }

  async ownerOfFlow(flow: string): Promise<string | undefined> {
    return this.#nodeIn(await this.#within(LOOKUP_MS, () => this.#client.get(this.#keys.flow(flow))));
  }

  async shareClients(node: string, counts: ClientCounts, ttlMs: number): Promise<void> {
    const key = this.#keys.clientsOf(node);
    await this.#within(WRITE_MS, () => this.#client.set(key, encodeClientCounts(counts), "PX", ttlMs));
  }

  async clientsOf(node: string): Promise<ClientCounts> {
    const value = await this.#within(WRITE_MS, () => this.#client.get(this.#keys.clientsOf(node)));
    if (value === null || value === undefined) return new Map();
    const counts = typeof value === "string" ? decodeClientCounts(value) : undefined;
    if (counts === undefined) this.#corrupt += 1;
    return counts ?? new Map();
  }

  async cookieKeys(known: readonly CookieKey[], fresh: Uint8Array, lifeMs: number): Promise<CookieKeys> {
    const args = [this.#keys.cookies, encodeCookieKeys(known), toHex(fresh), lifeMs];
    const answer = await this.#within(WRITE_MS, () => this.#client.farmCookieKeys(...args));
    const [nowMs, text, foreign]: readonly unknown[] = Array.isArray(answer) ? answer : [];
    if (foreign === 1) this.#corrupt += 1;
    const keys = decodeCookieKeys(text);
    if (keys === undefined) throw this.#fail("no cookie keys");
    return { nowMs: Number(nowMs), keys };
  }

  #nodeIn(value: unknown): string | undefined {
    if (isNodeName(value)) return value;
    if (value !== null && value !== undefined) this.#corrupt += 1;
    return undefined;
  }

  #tokenIn(value: unknown): number[] {
    const token = Number(value);
    if (Number.isInteger(token) && token >= 0 && token <= 0xffff_ffff) return [token];
    this.#corrupt += 1;
    return [];
  }

  /** The answer, or null for a key of a foreign type. Rejects with an AccessError when there is none in time. */
  async #within(deadlineMs: number, call: () => Promise<unknown>): Promise<unknown> {
    if (this.#waiting >= MOST_WAITING) throw this.#fail("too many calls wait");
    this.#waiting += 1;
    const called = call();
    const done = () => {
      this.#waiting -= 1;
    };
    called.then(done, done);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${deadlineMs} ms`)), deadlineMs);
    });
    try {
      return await Promise.race([called, late]);
    } catch (error) {
      if (error instanceof Error && error.message.startsWith("WRONGTYPE")) {
        this.#corrupt += 1;
        return null;
      }
      throw this.#fail(error instanceof Error ? error.message : String(error), error);
    } finally {
      clearTimeout(timer);
    }
  }

  #fail(why: string, cause?: unknown): Error {
    this.#unanswered += 1;
    return unanswered(why, cause);
  }

  close(): void {
    this.#client.disconnect();
  }
}

function connect({ mode, servers, primary, username, password, tls }: RedisSettings): Client {
  const credentials = { ...(username !== undefined && { username }), ...(password !== undefined && { password }) };
  const retry = (attempt: number) => Math.min(FIRST_RETRY_MS * attempt, LONGEST_RETRY_MS);
  const common = {
    ...credentials,
    ...(tls !== undefined && { tls: tls.ca === undefined ? {} : { ca: tls.ca } }),
    scripts: SCRIPTS,
    enableAutoPipelining: true,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    socketTimeout: SILENCE_MS,
    connectTimeout: CONNECT_MS,
    connectionName: "hybrid-access",
  };
  if (mode === "cluster") {
    return new Cluster(
      servers.map(({ host, port }) => ({ host, port })),
      {
        redisOptions: common,
        scripts: SCRIPTS,
        enableAutoPipelining: true,
        enableOfflineQueue: false,
        clusterRetryStrategy: retry,
        slotsRefreshTimeout: CONNECT_MS,
        slotsRefreshInterval: CONNECT_MS,
      },
    ) as unknown as Client;
  }
  const single = { ...common, retryStrategy: retry, enableOfflineQueue: false };
  if (mode === "sentinel") {
    const sentinels = servers.map(({ host, port }) => ({ host, port }));
    return new Redis({
      ...single,
      sentinels,
      name: primary,
      sentinelRetryStrategy: retry,
      // A master that was demoted refuses writes: Sentinels know the new one.
      reconnectOnError: (error) => error.message.startsWith("READONLY"),
    }) as unknown as Client;
  }
  const [{ host, port } = { host: "127.0.0.1", port: 6379 }] = servers;
  return new Redis(host.startsWith("/") ? { ...single, path: host } : { ...single, host, port }) as unknown as Client;
}
