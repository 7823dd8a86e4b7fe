/**
 * Where a packet to the farm's address goes. Pure: the director brings packets, answers of the registry and time, and
 * carries the verdicts out.
 *
 * A new connection goes to a node by rendezvous hashing. A join goes to its token's owner, and a packet of a flow that
 * this director has not seen before to its flow's owner: from the cache, else from the registry, and the packet is held
 * meanwhile. What has no owner is dropped, never hashed: a node that does not know the token answers with a reset, and
 * the client gives the subflow up, whereas it repeats what was dropped.
 *
 * The registry is right where it answers. Where it names nobody, what the director has seen on the path counts; where it
 * does not answer, also what it said once.
 */
import { flowId, type SteeredPacket } from "../../wire/steered-packet.ts";
import { OwnerCache } from "./owner-cache.ts";
import { PathLearner } from "./path-learner.ts";
import { type Choice, choose } from "./rendezvous.ts";

/** A converter, as a director sees it. */
export interface SteeringNode extends Choice {
  /** Takes new connections. */
  readonly accepting: boolean;
}

/** What is looked up in the registry. */
export type OwnerKey =
  | { readonly type: "token"; readonly token: number }
  | { readonly type: "flow"; readonly flow: string };

/** "pass" leaves the packet to the kernel's own rules: there is no node to choose from. */
export type Verdict = { readonly type: "forward"; readonly node: string } | { readonly type: "drop" | "pass" };

/** A verdict on a packet that was held. */
export interface Release<Handle> {
  readonly handle: Handle;
  readonly verdict: Verdict;
}

/** What the registry said: an owner, that there is none, or nothing in time. */
export type Answer = { readonly owner: string | undefined } | "unanswered";

export interface SteeringLimits {
  /** How long a packet may wait for its owner to be known. */
  readonly holdMs: number;
  readonly heldPackets: number;
  readonly lookupsPerSecond: number;
  readonly cachedOwners: number;
  readonly learntTokens: number;
  /** A join whose owner nobody can name because the registry does not answer: dropped, or sent to a node by hash. */
  readonly joinsWithoutRegistry: "drop" | "hash";
}

/** What was decided, by count. */
export interface SteeringCounters {
  /** New connections. */
  hashed: number;
  /** Joins and flows whose owner was in the cache, and those that the registry knew. */
  fromCache: number;
  fromRegistry: number;
  /** The registry named nobody or did not answer: as seen on the path; as the registry said once; by chance. */
  fromPath: number;
  fromMemory: number;
  byChance: number;
  /** Tokens seen on the path. */
  learnt: number;
  /** Dropped: nobody owns it; too many look-ups or held packets; the registry did not answer; the owner is no node. */
  unknown: number;
  overLimit: number;
  unanswered: number;
  ownerGone: number;
}

/** Packets that wait for the same answer. */
interface Waiting<Handle> {
  readonly key: OwnerKey;
  readonly packets: { readonly handle: Handle; readonly flow: string }[];
  readonly deadlineMs: number;
  /** When to ask again; infinite while an answer is awaited, and when there was none. */
  askMs: number;
  pauseMs: number;
  /** The registry does not answer: only a third ACK can help now. */
  unanswered: boolean;
}

const FIRST_PAUSE_MS = 1;
const DROP: Verdict = { type: "drop" };

export class Steering<Handle> {
  readonly counters: SteeringCounters = {
    hashed: 0,
    fromCache: 0,
    fromRegistry: 0,
    fromPath: 0,
    fromMemory: 0,
    byChance: 0,
    learnt: 0,
    unknown: 0,
    overLimit: 0,
    unanswered: 0,
    ownerGone: 0,
  };
  readonly #limits: SteeringLimits;
  readonly #cache: OwnerCache;
  readonly #learner: PathLearner;
  readonly #waiting = new Map<string, Waiting<Handle>>();
  readonly #nodes = new Map<string, SteeringNode>();
  #accepting: readonly SteeringNode[] = [];
  #held = 0;
  #budget: number;
  #budgetMs = Number.NEGATIVE_INFINITY;
  #lookups: OwnerKey[] = [];

  constructor(limits: SteeringLimits) {
    this.#limits = limits;
    this.#cache = new OwnerCache(limits.cachedOwners);
    this.#learner = new PathLearner(limits.learntTokens);
    this.#budget = limits.lookupsPerSecond;
  }

  /** The converters there are now. One whose lease has run out may stay in the list, without accepting. */
  setNodes(nodes: readonly SteeringNode[]): void {
    this.#nodes.clear();
    for (const node of nodes) this.#nodes.set(node.name, node);
    this.#accepting = nodes.filter(({ accepting }) => accepting);
  }

  get heldPackets(): number {
    return this.#held;
  }

  /** Decides at once, or keeps `handle` and gives undefined; a {@link Release} follows by the hold time. */
  decide(packet: SteeredPacket, handle: Handle, nowMs: number): Verdict | undefined {
    const flow = flowId(packet.client, packet.port);
    switch (packet.kind.type) {
      case "connect":
        this.#cache.forget(flow);
        return this.#hash(this.#accepting, flow);
      case "join":
        return this.#findOwner({ type: "token", token: packet.kind.token }, { handle, flow }, nowMs);
      case "data":
        // A plain flow is known to nobody but its node: among all nodes, the choice is as it was when it began.
        if (!packet.kind.multipath) return this.#hash(Array.from(this.#nodes.values()), flow);
        return this.#findOwner({ type: "flow", flow }, { handle, flow }, nowMs);
    }
  }

  #hash(nodes: readonly SteeringNode[], flow: string): Verdict {
    const node = choose(nodes, flow);
    if (node === undefined) return { type: "pass" };
    this.counters.hashed += 1;
    return { type: "forward", node: node.name };
  }

  #findOwner(key: OwnerKey, packet: { handle: Handle; flow: string }, nowMs: number): Verdict | undefined {
    const id = idOf(key);
    const cached = this.#cache.find(id, nowMs);
    if (cached === null) return this.#seenOnPath(key) ?? this.#drop("unknown");
    if (cached !== undefined) return this.#toOwner(cached, "fromCache");
    if (this.#held >= this.#limits.heldPackets) return this.#drop("overLimit");
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined) waiting.packets.push(packet);
    else {
      if (!this.#takeBudget(nowMs)) return this.#drop("overLimit");
      const deadlineMs = nowMs + this.#limits.holdMs;
      const question = { askMs: Infinity, pauseMs: FIRST_PAUSE_MS, unanswered: false };
      this.#waiting.set(id, { key, packets: [packet], deadlineMs, ...question });
      this.#lookups.push(key);
    }
    this.#held += 1;
    return undefined;
  }

  #seenOnPath(key: OwnerKey): Verdict | undefined {
    const node = key.type === "token" ? this.#learner.find(key.token) : undefined;
    return node === undefined ? undefined : this.#toOwner(node, "fromPath");
  }

  /** The registry does not answer. */
  #withoutRegistry(key: OwnerKey, flow: string): Verdict {
    const remembered = this.#cache.lastOwner(idOf(key));
    if (remembered !== undefined) return this.#toOwner(remembered, "fromMemory");
    const seen = this.#seenOnPath(key);
    if (seen !== undefined) return seen;
    const chosen = key.type === "token" && this.#limits.joinsWithoutRegistry === "hash";
    const node = chosen ? choose(Array.from(this.#nodes.values()), flow) : undefined;
    return node === undefined ? this.#drop("unanswered") : this.#toOwner(node.name, "byChance");
  }

  #toOwner(name: string, from: "fromCache" | "fromRegistry" | "fromPath" | "fromMemory" | "byChance"): Verdict {
    if (!this.#nodes.has(name)) return this.#drop("ownerGone");
    this.counters[from] += 1;
    return { type: "forward", node: name };
  }

  #drop(reason: "unknown" | "overLimit" | "unanswered" | "ownerGone"): Verdict {
    this.counters[reason] += 1;
    return DROP;
  }

  /** A bucket that holds one second's look-ups and fills evenly. */
  #takeBudget(nowMs: number): boolean {
    const { lookupsPerSecond } = this.#limits;
    const passedMs = Math.max(0, nowMs - this.#budgetMs);
    this.#budget = Math.min(lookupsPerSecond, this.#budget + (passedMs * lookupsPerSecond) / 1000);
    this.#budgetMs = nowMs;
    if (this.#budget < 1) return false;
    this.#budget -= 1;
    return true;
  }

  /** What is to be asked of the registry now; each key is to be answered once. */
  takeLookups(): OwnerKey[] {
    const lookups = this.#lookups;
    this.#lookups = [];
    return lookups;
  }

  /**
   * The registry's answer. An unknown owner is asked for again until the hold time is over; so long a third ACK that is on
   * its way is waited for too, whether the registry answers or not.
   */
  onAnswer(key: OwnerKey, answer: Answer, nowMs: number): Release<Handle>[] {
    const id = idOf(key);
    const waiting = this.#waiting.get(id);
    if (answer === "unanswered") {
      if (waiting === undefined) return [];
      if (key.type === "flow" || this.#isRemembered(key))
        return this.#release(id, waiting, (flow) => this.#withoutRegistry(key, flow));
      waiting.unanswered = true;
      return [];
    }
    const { owner } = answer;
    if (owner !== undefined) return this.learn(key, owner, nowMs);
    if (waiting === undefined) return [];
    if (this.#isLearnt(key)) return this.#releaseLearnt(id, waiting);
    waiting.askMs = nowMs + waiting.pauseMs;
    waiting.pauseMs *= 2;
    return [];
  }

  /** An owner has become known, whether it was asked for or not. */
  learn(key: OwnerKey, owner: string, nowMs: number): Release<Handle>[] {
    const id = idOf(key);
    this.#cache.learn(id, owner, nowMs);
    const waiting = this.#waiting.get(id);
    return waiting === undefined ? [] : this.#release(id, waiting, () => this.#toOwner(owner, "fromRegistry"));
  }

  /** A third ACK says that `node` has this token. What waits for it goes on if the registry has named nobody so far. */
  learnOnPath(token: number, node: string): Release<Handle>[] {
    if (!this.#learner.learn(token, node)) return [];
    this.counters.learnt += 1;
    const id = idOf({ type: "token", token });
    const waiting = this.#waiting.get(id);
    const asked = waiting !== undefined && waiting.askMs === Infinity && !waiting.unanswered;
    return waiting === undefined || asked ? [] : this.#releaseLearnt(id, waiting);
  }

  /** Whether there is something to go by without the registry. */
  #isRemembered(key: OwnerKey): boolean {
    return this.#cache.lastOwner(idOf(key)) !== undefined || this.#isLearnt(key);
  }

  #isLearnt(key: OwnerKey): boolean {
    return key.type === "token" && this.#learner.find(key.token) !== undefined;
  }

  #releaseLearnt(id: string, waiting: Waiting<Handle>): Release<Handle>[] {
    return this.#release(id, waiting, () => this.#seenOnPath(waiting.key) ?? this.#drop("unknown"));
  }

  #release(id: string, { packets }: Waiting<Handle>, verdict: (flow: string) => Verdict): Release<Handle>[] {
    this.#waiting.delete(id);
    this.#held -= packets.length;
    return packets.map(({ handle, flow }) => ({ handle, verdict: verdict(flow) }));
  }

  /** Time has passed; to be called when {@link nextTimerMs} says so. */
  onTimer(nowMs: number): Release<Handle>[] {
    const released: Release<Handle>[] = [];
    for (const [id, waiting] of this.#waiting) {
      if (waiting.deadlineMs <= nowMs) {
        // That the last question is still open says nothing of the token.
        const asked = waiting.askMs === Infinity;
        if (!asked) this.#cache.learn(id, undefined, nowMs);
        const verdict = (flow: string) => (asked ? this.#withoutRegistry(waiting.key, flow) : this.#drop("unknown"));
        released.push(...this.#release(id, waiting, verdict));
      } else if (waiting.askMs <= nowMs) {
        waiting.askMs = Infinity;
        if (this.#takeBudget(nowMs)) this.#lookups.push(waiting.key);
      }
    }
    return released;
  }

  /** When {@link onTimer} has something to do, or undefined. */
  get nextTimerMs(): number | undefined {
    let next = Infinity;
    for (const { deadlineMs, askMs } of this.#waiting.values()) next = Math.min(next, deadlineMs, askMs);
    return next === Infinity ? undefined : next;
  }
}

/** A token and a flow never look alike: flows have 16 digits or more. */
function idOf(key: OwnerKey): string {
  return key.type === "token" ? key.token.toString(16) : key.flow;
}
