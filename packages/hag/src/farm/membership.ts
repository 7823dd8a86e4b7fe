/**
 * The nodes of the farm, as this one sees them: its own lease, kept alive, and the others', looked at often.
 *
 * A lease that has run out keeps a node from new connections, no more: it may live and only Redis be slow, and what it
 * owns still goes there. While Redis is away, the last view stays; and for a time after it, as it may have lost
 * everything and the others need a moment to come back to it.
 */
import { AccessError } from "@hybrid-access/core/base/error";
import { formatIpAddress } from "@hybrid-access/core/base/ip-address";
import { findPrefix } from "@hybrid-access/core/base/prefix";
import type { Logger } from "@hybrid-access/core/services/log";
import type { Member, NodeState, Registry, Renewal } from "@hybrid-access/core/services/registry/registry";
import type { FarmConfig } from "./config.ts";

/** A node with what became of its lease. */
export interface KnownNode {
  readonly member: Member;
  /** Its lease held when it was last looked at. */
  readonly alive: boolean;
}

export interface MembershipEvents {
  /** Who is there, or in what state, has changed. */
  change(nodes: readonly KnownNode[]): void;
  /** The registry does not know this node any more: neither, perhaps, what else it was told. */
  forgotten(): void;
}

/** How often a lease is renewed, and how often the others' are looked at, within its time. */
const RENEWALS = 3;
const LOOKS = 4;
/** A node without a lease is forgotten after so long: its connections are over or it will say so itself. */
const FORGET_MS = 600_000;
const MOST_NODES = 250;
/** A registry that was away or has forgotten is not believed that a node is gone, for a lease and so much longer. */
const RETURN_MS = 1000;
const FIRST_RENEWAL_MS = 3000;
const FIRST_RENEWAL_PAUSE_MS = 50;

type Refused = Exclude<Renewal, "renewed" | "joined">;

interface Seen extends KnownNode {
  readonly seenMs: number;
}

export class Membership {
  readonly #registry: Registry;
  readonly #config: FarmConfig;
  readonly #load: () => number;
  readonly #on: MembershipEvents;
  readonly #log: Logger;
  readonly #settings: string;
  readonly #timers: NodeJS.Timeout[] = [];
  #nodes = new Map<string, Seen>();
  #state: NodeState = "up";
  /** Members that cannot be of this farm, seen in the last look. */
  foreign = 0;
  #refused: Refused | undefined;
  #isMember = false;
  /** Since when the registry has answered every look and has known this node. */
  #believedSinceMs = performance.now();
  #looking: Promise<void> | undefined;

  /** `load` counts open connections. */
  constructor(registry: Registry, config: FarmConfig, load: () => number, on: MembershipEvents, log: Logger) {
    this.#registry = registry;
    this.#config = config;
    this.#load = load;
    this.#on = on;
    this.#log = log;
    const { steering, virtualAddresses } = config;
    this.#settings = JSON.stringify({ steering, virtualAddresses: virtualAddresses.map(formatIpAddress) });
  }

  get state(): NodeState {
    return this.#state;
  }

  nodes(): readonly KnownNode[] {
    return Array.from(this.#nodes.values(), ({ member, alive }) => ({ member, alive }));
  }

  /** Whether the last renewal of the lease succeeded. */
  get isMember(): boolean {
    return this.#isMember;
  }

  isAlive(name: string): boolean {
    return this.#nodes.get(name)?.alive ?? false;
  }

  /** Takes the lease. Throws an AccessError when the farm does not want this node; a silent registry only delays. */
  async join(): Promise<void> {
    const endMs = performance.now() + FIRST_RENEWAL_MS;
    for (;;) {
      const renewal = await this.#tryRenew();
      if (renewal === "nameTaken" || renewal === "otherSettings") throw refusal(renewal, this.#config);
      if (renewal !== undefined) break;
      if (performance.now() >= endMs) {
        this.#log.warn({ farm: this.#config.name }, "the registry does not answer; the farm is joined when it does");
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, FIRST_RENEWAL_PAUSE_MS));
    }
    await this.#look();
    const { lease } = this.#config;
    this.#timers.push(setInterval(() => void this.#renew(), lease / RENEWALS));
    this.#timers.push(setInterval(() => void this.#look(), lease / LOOKS));
    for (const timer of this.#timers) timer.unref();
  }

  #describe(): Member {
    const { node, addresses, role, weight } = this.#config;
    return { name: node, addresses, state: this.#state, weight: role === "director" ? 0 : weight, load: this.#load() };
  }

  async #tryRenew(): Promise<Renewal | undefined> {
    const renewal = await this.#registry
      .renew(this.#describe(), this.#settings, this.#config.lease)
      .catch(() => undefined);
    if (renewal === "joined") this.#believedSinceMs = performance.now();
    this.#isMember = renewal === "joined" || renewal === "renewed";
    return renewal;
  }

  async #renew(): Promise<void> {
    const renewal = await this.#tryRenew();
    if (renewal === undefined) return;
    if (renewal === "joined") this.#on.forgotten();
    const refused = renewal === "renewed" || renewal === "joined" ? undefined : renewal;
    if (refused !== undefined && refused !== this.#refused) {
      this.#log.error({ renewal }, refusal(refused, this.#config).message);
    }
    this.#refused = refused;
  }

  /** One look at a time: an answer that comes late must not undo a later one. */
  async #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  async #lookOnce(): Promise<void> {
    const members = await this.#registry.members().catch(() => undefined);
    if (members?.some(({ name }) => name === this.#config.node) !== true) this.#believedSinceMs = performance.now();
    if (members === undefined) return;
    const { network } = this.#config;
    const own = members.filter(({ addresses }) => addresses.every((one) => findPrefix(network, one) !== undefined));
    this.foreign = members.length - own.length;
    const nowMs = performance.now();
    const before = describe(this.#nodes);
    const seen = new Map<string, Seen>();
    for (const member of own.slice(0, MOST_NODES)) seen.set(member.name, { member, alive: true, seenMs: nowMs });
    const believed = nowMs - this.#believedSinceMs >= this.#config.lease + RETURN_MS;
    for (const [name, node] of this.#nodes) {
      const remembered = !seen.has(name) && seen.size < MOST_NODES && nowMs - node.seenMs < FORGET_MS;
      if (remembered) seen.set(name, believed ? { ...node, alive: false } : node);
    }
    this.#nodes = seen;
    if (describe(seen) === before) return;
    this.#log.info({ nodes: Array.from(seen.values(), summarize) }, "farm");
    try {
      this.#on.change(this.nodes());
    } catch (error) {
      this.#log.error({ error }, "the farm's change could not be followed; the next one is tried");
    }
  }

  /** Tells the farm what becomes of this node. */
  async setState(state: NodeState): Promise<void> {
    this.#state = state;
    await this.#renew();
    await this.#look();
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#registry.leave(this.#describe()).catch(() => undefined);
  }
}

function refusal(renewal: Refused, { name, node }: FarmConfig): AccessError {
  return renewal === "nameTaken"
    ? new AccessError("FARM_NAME_TAKEN", "configuration", `farm ${name} has another living node called ${node}`)
    : new AccessError(
        "FARM_SETTINGS",
        "configuration",
        `farm ${name} runs with another steering or other virtual addresses`,
      );
}

function summarize(node: KnownNode) {
  return { node: node.member.name, state: stateOf(node), weight: node.member.weight };
}

/** A node without a lease has drained and is "down", or nobody knows what became of it and it is "lost". */
export function stateOf({ member: { state }, alive }: KnownNode): NodeState | "down" | "lost" {
  if (alive) return state;
  return state === "draining" ? "down" : "lost";
}

/** What others depend on, as one text to compare: the load changes all the time. */
function describe(nodes: ReadonlyMap<string, Seen>): string {
  return JSON.stringify(Array.from(nodes.values(), (node) => [summarize(node), node.member.addresses.map(String)]));
}
