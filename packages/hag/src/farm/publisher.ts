/**
 * Tells the registry what this node owns: the token of each Multipath TCP connection, from the kernel's first word of it,
 * and the flow of each of its subflows. What this node knows is the truth; the registry gets it again when it was away,
 * and regularly before it would expire. What the registry has too much is taken back in the same way: claims renew the
 * lists in which it stands.
 */
import type { PathEvent, SubflowPath } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { OwnerKey } from "@hybrid-access/core/policy/steering/steering";
import type { Logger } from "@hybrid-access/core/services/log";
import type { Registry } from "@hybrid-access/core/services/registry/registry";
import { flowId } from "@hybrid-access/core/wire/steered-packet";

export interface PublisherOptions {
  readonly registry: Registry;
  readonly node: string;
  readonly tokenLifeMs: number;
  /** Whether another node's lease holds: a token of a dead one may be taken. */
  readonly isAlive: (node: string) => boolean;
  /** Whether the registry has this node's name for it: another one's tokens are never taken back. */
  readonly isMember: () => boolean;
  /** Hears what this node owns, before the registry does. */
  readonly onOwned: (key: OwnerKey) => void;
  readonly log: Logger;
}

export interface PublisherCounters {
  published: number;
  released: number;
  /** Tokens that another living node has too: the second connection does without steered joins. */
  collisions: number;
  /** Calls to the registry that failed; what they were to do is done later. */
  failed: number;
}

const TICK_MS = 500;
/** Claims renewed or repeated in one tick at most, so that a registry that comes back is not flooded. */
const CLAIMS_PER_TICK = 5000;
/** A claim is renewed after this part of its life. */
const RENEWAL_PART = 1 / 3;
/** From a release that failed to the search for what it left behind, which asks for all tokens of this node. */
const LEFTOVERS_PAUSE_MS = 2000;

interface Owned {
  readonly flows: Set<string>;
  /** The living node that has the same token; each renewal of the claim finds it again. */
  collidesWith: string | undefined;
  /** When its claims are to be made again; -Infinity at once. */
  dueMs: number;
}

export class Publisher {
  readonly counters: PublisherCounters = { published: 0, released: 0, collisions: 0, failed: 0 };
  readonly #options: PublisherOptions;
  readonly #owned = new Map<number, Owned>();
  readonly #timer: NodeJS.Timeout;
  #connected = true;
  /** When to look for what the registry has too much; an earlier life of this node may have left something. */
  #leftoversDueMs = Number.NEGATIVE_INFINITY;
  #releasing = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  /** Tokens owned now. */
  get tokens(): number {
    return this.#owned.size;
  }

  onEvent(event: PathEvent): void {
    switch (event.type) {
      case "connectionCreated":
      case "connectionEstablished":
        if (event.serverSide) this.#add(event.token, event);
        return;
      case "subflowEstablished":
        if (this.#owned.has(event.token)) this.#add(event.token, event);
        return;
      case "subflowClosed":
        return this.#removeFlow(event.token, flowOf(event));
      case "connectionClosed":
        return this.#remove(event.token);
      default:
        return;
    }
  }

  #add(token: number, path: SubflowPath): void {
    const flow = flowOf(path);
    const known = this.#owned.get(token);
    if (known?.flows.has(flow)) return;
    const { registry, node, tokenLifeMs, onOwned } = this.#options;
    if (known === undefined) {
      const dueMs = performance.now() + tokenLifeMs * RENEWAL_PART;
      const owned = { flows: new Set([flow]), collidesWith: undefined, dueMs };
      this.#owned.set(token, owned);
      onOwned({ type: "token", token });
      this.#claimToken(token, owned);
    } else {
      known.flows.add(flow);
    }
    onOwned({ type: "flow", flow });
    this.#call(token, registry.claimFlow(flow, node, tokenLifeMs));
  }

  #claimToken(token: number, owned: Owned): void {
    const { registry, node, tokenLifeMs, isAlive, log } = this.#options;
    const claim = async () => {
      const owner = await registry.claimToken(token, node, tokenLifeMs);
      const other = owner !== undefined && isAlive(owner) ? owner : undefined;
      if (other !== undefined && other !== owned.collidesWith) {
        this.counters.collisions += 1;
        log.warn({ owner }, "another node has a connection with the same token");
      }
      owned.collidesWith = other;
      if (owner !== other) await registry.claimToken(token, node, tokenLifeMs, true);
    };
    this.counters.published += 1;
    this.#call(token, claim());
  }

  #removeFlow(token: number, flow: string): void {
    if (this.#owned.get(token)?.flows.delete(flow) !== true) return;
    this.#call(undefined, this.#options.registry.releaseFlow(flow, this.#options.node));
  }

  #remove(token: number): void {
    const owned = this.#owned.get(token);
    if (owned === undefined) return;
    const { registry, node } = this.#options;
    this.#owned.delete(token);
    this.counters.released += 1;
    this.#call(
      undefined,
      registry.releaseToken(token, node).catch((error: unknown) => {
        this.#leftoversDueMs = Math.min(this.#leftoversDueMs, performance.now() + LEFTOVERS_PAUSE_MS);
        throw error;
      }),
    );
    for (const flow of owned.flows) this.#call(undefined, registry.releaseFlow(flow, node));
  }

  /** The registry may have lost everything: what is owned is claimed again, at a bounded rate. */
  publishAgain(): void {
    for (const owned of this.#owned.values()) owned.dueMs = Number.NEGATIVE_INFINITY;
  }

  /** A claim that failed is made again at the next tick; a flow that was not released expires. */
  #call(token: number | undefined, call: Promise<unknown>): void {
    call.catch(() => {
      this.counters.failed += 1;
      const owned = token === undefined ? undefined : this.#owned.get(token);
      if (owned !== undefined) owned.dueMs = Number.NEGATIVE_INFINITY;
    });
  }

  #tick(): void {
    const { registry, node, tokenLifeMs, isMember } = this.#options;
    const { connected } = registry.health;
    // A registry that was away may have lost everything.
    if (connected && !this.#connected) this.publishAgain();
    this.#connected = connected;
    if (!connected) return;
    const nowMs = performance.now();
    if (nowMs >= this.#leftoversDueMs && isMember() && !this.#releasing) void this.#releaseLeftovers();
    let claims = 0;
    for (const [token, owned] of this.#owned) {
      if (owned.dueMs > nowMs) continue;
      if (claims >= CLAIMS_PER_TICK) return;
      owned.dueMs = nowMs + tokenLifeMs * RENEWAL_PART;
      this.#claimToken(token, owned);
      for (const flow of owned.flows) this.#call(token, registry.claimFlow(flow, node, tokenLifeMs));
      claims += 1 + owned.flows.size;
    }
  }

  /**
   * Takes back the tokens that the registry lists for this node and that nobody has here: those of an earlier life, and
   * those whose release did not reach it or was undone by a failover. Once in a token's life when nothing is suspected.
   */
  async #releaseLeftovers(): Promise<void> {
    const { registry, node, tokenLifeMs, log } = this.#options;
    this.#releasing = true;
    this.#leftoversDueMs = performance.now() + tokenLifeMs;
    let released = 0;
    try {
      for (const token of await registry.tokensOf(node)) {
        if (this.#owned.has(token)) continue;
        await registry.releaseToken(token, node);
        released += 1;
      }
    } catch {
      // Told by this count, as every call that fails, and by the registry's own health.
      this.counters.failed += 1;
      this.#leftoversDueMs = performance.now() + LEFTOVERS_PAUSE_MS;
    } finally {
      this.#releasing = false;
    }
    if (released > 0) log.info({ tokens: released }, "took back tokens of connections that have ended");
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** The remote end is the client. */
function flowOf({ remote, local }: SubflowPath): string {
  return flowId(remote, local.port);
}
