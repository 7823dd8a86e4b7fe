/**
 * The director: decides on what the kernel hands over (SYNs, and the first packet of a flow it does not know), by
 * policy/steering, and gives the packet the mark of a node. All else follows the marks in the kernel. Of packets that
 * carry a gateway's key it sees copies: if they waited here, the data that follows them would overtake them, and the
 * gateway would take the connection for plain TCP (RFC 8684 section 3.7).
 */
import { createHash } from "node:crypto";
import { setPriority } from "node:os";
import { readUint32 } from "@hybrid-access/core/base/bytes";
import { PacketLog } from "@hybrid-access/core/platform/nflog";
import { PacketQueue } from "@hybrid-access/core/platform/nfqueue";
import {
  type OwnerKey,
  type Release,
  Steering,
  type SteeringLimits,
  type SteeringNode,
  type Verdict,
} from "@hybrid-access/core/policy/steering/steering";
import type { Registry } from "@hybrid-access/core/services/registry/registry";
import { parseSteeredPacket } from "@hybrid-access/core/wire/steered-packet";

/** A converter and the firewall mark that leads to it. */
export interface MarkedNode extends SteeringNode {
  readonly mark: number;
}

/** Packets that wait for an answer of the registry, and that the kernel keeps for us in all. */
const HELD_PACKETS = 4096;
const QUEUED_PACKETS = 8192;
/** Enough for 5000 new connections a second with a subflow each, half of them known already. */
const LOOKUPS_PER_SECOND = 5000;
const CACHED_OWNERS = 65_536;
/** Tokens seen on the path; about 100 bytes each. */
const LEARNT_TOKENS = 65_536;

/** Of this thread, on a scale from -20 to 19: a SYN that waits for its verdict is worth more than what else the host does. */
const NICENESS = -10;

/** Upper edges in milliseconds of the histogram of what joins waited. */
export const WAIT_BUCKETS_MS = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100] as const;

/** What a held packet needs to be let go. */
interface Held {
  readonly id: number;
  readonly sinceMs: number;
}

export interface DirectorCounters {
  /** Packets that the kernel handed over. */
  packets: number;
  /** Those that are no TCP that can be read; the kernel's own rules decide. */
  unreadable: number;
  /** Copies of packets with a gateway's key. */
  keys: number;
  /** Joins and unknown flows that went on, by the time they were held; the last bucket has no upper edge. */
  readonly waited: number[];
}

export class Director {
  readonly counters: DirectorCounters = {
    packets: 0,
    unreadable: 0,
    keys: 0,
    waited: Array.from({ length: WAIT_BUCKETS_MS.length + 1 }, () => 0),
  };
  readonly #registry: Registry;
  readonly #steering: Steering<Held>;
  readonly #queue: PacketQueue;
  readonly #keys: PacketLog;
  readonly #marks = new Map<string, number>();
  readonly #names = new Map<number, string>();
  #timer: NodeJS.Timeout | undefined;
  #timerMs = Number.POSITIVE_INFINITY;

  /** Takes the queue, and the log group of the same number. Throws a SystemError when another process has them. */
  constructor(
    registry: Registry,
    queue: number,
    { holdMs, joinsWithoutRegistry }: Pick<SteeringLimits, "holdMs" | "joinsWithoutRegistry">,
  ) {
    this.#registry = registry;
    const limits: SteeringLimits = {
      holdMs,
      heldPackets: HELD_PACKETS,
      lookupsPerSecond: LOOKUPS_PER_SECOND,
      cachedOwners: CACHED_OWNERS,
      learntTokens: LEARNT_TOKENS,
      joinsWithoutRegistry,
    };
    this.#steering = new Steering(limits);
    this.#queue = new PacketQueue({
      queue,
      mostPackets: QUEUED_PACKETS,
      onPacket: ({ id, bytes }) => this.#onPacket(id, bytes),
    });
    try {
      this.#keys = new PacketLog({ group: queue, onPacket: ({ bytes, mark }) => this.#onKey(bytes, mark) });
    } catch (error) {
      this.#queue.close();
      throw error;
    }
  }

  /**
   * Has the kernel run the calling thread, and those it starts from now on, before others. Throws a SystemError without
   * CAP_SYS_NICE; the director works then too, and a busy host keeps SYNs waiting.
   */
  static hurry(): void {
    setPriority(NICENESS);
  }

  get steering(): Readonly<Steering<Held>["counters"]> & { readonly held: number } {
    return { ...this.#steering.counters, held: this.#steering.heldPackets };
  }

  setNodes(nodes: readonly MarkedNode[]): void {
    this.#marks.clear();
    this.#names.clear();
    for (const { name, mark } of nodes) {
      this.#marks.set(name, mark);
      this.#names.set(mark, name);
    }
    this.#steering.setNodes(nodes);
  }

  #onPacket(id: number, bytes: Uint8Array): void {
    this.counters.packets += 1;
    const packet = parseSteeredPacket(bytes);
    if (packet === undefined) {
      this.counters.unreadable += 1;
      this.#queue.accept(id);
      return;
    }
    const nowMs = performance.now();
    const verdict = this.#steering.decide(packet, { id, sinceMs: nowMs }, nowMs);
    if (verdict !== undefined) this.#carryOut(id, verdict);
    else this.#lookUp();
  }

  /** The packet has gone on already; its flow has a mark. */
  #onKey(bytes: Uint8Array, mark: number | undefined): void {
    this.counters.keys += 1;
    const node = mark === undefined ? undefined : this.#names.get(mark);
    const kind = parseSteeredPacket(bytes)?.kind;
    if (node === undefined || kind?.type !== "data" || kind.gatewayKey === undefined) return;
    this.#release(this.#steering.learnOnPath(tokenOf(kind.gatewayKey), node));
  }

  /** A mark that is gone meanwhile leaves the packet to the kernel. */
  #carryOut(id: number, verdict: Verdict): void {
    if (verdict.type === "drop") this.#queue.drop(id);
    else this.#queue.accept(id, verdict.type === "forward" ? this.#marks.get(verdict.node) : undefined);
  }

  #lookUp(): void {
    for (const key of this.#steering.takeLookups()) {
      const asked =
        key.type === "token" ? this.#registry.ownerOfToken(key.token) : this.#registry.ownerOfFlow(key.flow);
      asked.then(
        (owner) => this.#release(this.#steering.onAnswer(key, { owner }, performance.now())),
        () => this.#release(this.#steering.onAnswer(key, "unanswered", performance.now())),
      );
    }
    this.#schedule();
  }

  /** This node itself owns it: what waits for that goes on at once. */
  learn(key: OwnerKey, node: string): void {
    this.#release(this.#steering.learn(key, node, performance.now()));
  }

  #release(released: readonly Release<Held>[]): void {
    const nowMs = performance.now();
    for (const { handle, verdict } of released) {
      this.#carryOut(handle.id, verdict);
      if (verdict.type === "forward") this.#count(nowMs - handle.sinceMs);
    }
    this.#queue.flush();
    this.#schedule();
  }

  #count(waitedMs: number): void {
    const found = WAIT_BUCKETS_MS.findIndex((edge) => waitedMs <= edge);
    const bucket = found === -1 ? WAIT_BUCKETS_MS.length : found;
    this.counters.waited[bucket] = (this.counters.waited[bucket] ?? 0) + 1;
  }

  #schedule(): void {
    const nextMs = this.#steering.nextTimerMs ?? Number.POSITIVE_INFINITY;
    if (nextMs === this.#timerMs) return;
    clearTimeout(this.#timer);
    this.#timerMs = nextMs;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.#timerMs = Number.POSITIVE_INFINITY;
        this.#release(this.#steering.onTimer(performance.now()));
        this.#lookUp();
      },
      Math.max(1, Math.ceil(nextMs - performance.now())),
    );
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#queue.close();
    this.#keys.close();
  }
}

/** RFC 8684 section 3.2: the most significant 32 bits of the key's SHA-256. */
function tokenOf(key: Uint8Array): number {
  return readUint32(createHash("sha256").update(key).digest(), 0);
}
