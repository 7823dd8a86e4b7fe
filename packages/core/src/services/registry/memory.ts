/** The registry of a gateway that is alone: in the process's own memory, with the semantics of redis.ts. */
import type { ClientCounts } from "./client-counts.ts";
import { type CookieKey, type CookieKeys, renewCookieKeys } from "./cookie-keys.ts";
import { identityOf, type Member, type Registry, type RegistryHealth, type Renewal } from "./registry.ts";

interface Lease {
  readonly member: Member;
  readonly untilMs: number;
}

interface Claim {
  readonly node: string;
  readonly untilMs: number;
}

/** How many claims are made between two sweeps of those that have expired. */
const CLAIMS_BETWEEN_SWEEPS = 4096;

export class MemoryRegistry implements Registry {
  readonly health: RegistryHealth = { connected: true, corrupt: 0, unanswered: 0 };
  readonly #nowMs: () => number;
  readonly #leases = new Map<string, Lease>();
  readonly #tokens = new Map<number, Claim>();
  readonly #clients = new Map<string, { readonly counts: ClientCounts; readonly untilMs: number }>();
  readonly #flows = new Map<string, Claim>();
  #settings: string | undefined;
  #cookieKeys: readonly CookieKey[] = [];
  #claims = 0;

  /** `nowMs` is a clock that only goes forward. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  async renew(member: Member, settings: string, leaseMs: number): Promise<Renewal> {
    const live = this.#live();
    const holder = live.find(({ name }) => name === member.name);
    if (holder !== undefined && identityOf(holder) !== identityOf(member)) return "nameTaken";
    const others = live.some(({ name }) => name !== member.name);
    if (others && this.#settings !== undefined && this.#settings !== settings) return "otherSettings";
    this.#settings = settings;
    this.#leases.set(member.name, { member, untilMs: this.#nowMs() + leaseMs });
    return holder === undefined ? "joined" : "renewed";
  }

  async leave(member: Member): Promise<void> {
    const held = this.#leases.get(member.name);
    if (held !== undefined && identityOf(held.member) === identityOf(member)) this.#leases.delete(member.name);
  }

  async members(): Promise<readonly Member[]> {
    return this.#live();
  }

  #live(): Member[] {
    const nowMs = this.#nowMs();
    return Array.from(this.#leases.values()).flatMap(({ member, untilMs }) => (untilMs > nowMs ? [member] : []));
  }

  async claimToken(token: number, node: string, ttlMs: number, force = false): Promise<string | undefined> {
    const owner = await this.ownerOfToken(token);
    if (owner !== undefined && owner !== node && !force) return owner;
    this.#tokens.set(token, { node, untilMs: this.#nowMs() + ttlMs });
    this.#sweepSometimes();
    return undefined;
  }

  async releaseToken(token: number, node: string): Promise<void> {
    if ((await this.ownerOfToken(token)) === node) this.#tokens.delete(token);
  }

  async ownerOfToken(token: number): Promise<string | undefined> {
    return this.#holds(this.#tokens.get(token));
  }

  async tokensOf(node: string): Promise<readonly number[]> {
    return Array.from(this.#tokens).flatMap(([token, claim]) => (this.#holds(claim) === node ? [token] : []));
  }

  async claimFlow(flow: string, node: string, ttlMs: number): Promise<void> {
    this.#flows.set(flow, { node, untilMs: this.#nowMs() + ttlMs });
    this.#sweepSometimes();
  }

  async releaseFlow(flow: string, node: string): Promise<void> {
    if ((await this.ownerOfFlow(flow)) === node) this.#flows.delete(flow);
  }

  async ownerOfFlow(flow: string): Promise<string | undefined> {
    return this.#holds(this.#flows.get(flow));
  }

  async shareClients(node: string, counts: ClientCounts, ttlMs: number): Promise<void> {
    this.#clients.set(node, { counts: new Map(counts), untilMs: this.#nowMs() + ttlMs });
  }

  async clientsOf(node: string): Promise<ClientCounts> {
    const said = this.#clients.get(node);
    return said !== undefined && said.untilMs > this.#nowMs() ? said.counts : new Map();
  }

  async cookieKeys(known: readonly CookieKey[], fresh: Uint8Array, lifeMs: number): Promise<CookieKeys> {
    const nowMs = this.#nowMs();
    this.#cookieKeys = renewCookieKeys(this.#cookieKeys, known, fresh, nowMs, lifeMs);
    return { nowMs, keys: this.#cookieKeys };
  }

  #holds(claim: Claim | undefined): string | undefined {
    return claim !== undefined && claim.untilMs > this.#nowMs() ? claim.node : undefined;
  }

  #sweepSometimes(): void {
    this.#claims += 1;
    if (this.#claims % CLAIMS_BETWEEN_SWEEPS !== 0) return;
    for (const [token, claim] of this.#tokens) if (this.#holds(claim) === undefined) this.#tokens.delete(token);
    for (const [flow, claim] of this.#flows) if (this.#holds(claim) === undefined) this.#flows.delete(flow);
  }

  close(): void {}
}
