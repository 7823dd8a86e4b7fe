/** What a middlebox remembers of connections. */
import { type Endpoint, endpointKey } from "../../base/ip-address.ts";
import type { TcpPacket } from "../../wire/tcp/packet.ts";
import type { Direction } from "./middlebox.ts";

/** The ends of a connection as a box sees them. */
export interface FlowEnds {
  /** On the side that {@link Direction} "forward" comes from. */
  readonly inside: Endpoint;
  readonly outside: Endpoint;
}

export function flowEnds({ ip, segment }: TcpPacket, direction: Direction): FlowEnds {
  const source = { address: ip.source, port: segment.sourcePort };
  const destination = { address: ip.destination, port: segment.destinationPort };
  return direction === "forward" ? { inside: source, outside: destination } : { inside: destination, outside: source };
}

/** The key of a connection in tables, the same in both directions. */
export function flowKey({ inside, outside }: FlowEnds): string {
  return endpointKey(inside) + endpointKey(outside);
}

/** What a box has room for, unless it is told another number; the connection silent for the longest time goes. */
export const DEFAULT_MOST_FLOWS = 65_536;

/** Values of connections, the one used last at the end; forgotten when silent for `idleMs`, or when there are too many. */
export class FlowTable<Value> {
  readonly #entries = new Map<string, { readonly value: Value; usedAtMs: number }>();
  readonly #idleMs: number;
  readonly #most: number;

  constructor(idleMs = Number.POSITIVE_INFINITY, most = DEFAULT_MOST_FLOWS) {
    this.#idleMs = idleMs;
    this.#most = most;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value of a connection that is known, which counts as used now. */
  get(key: string, nowMs: number): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (nowMs - entry.usedAtMs > this.#idleMs) return undefined;
    entry.usedAtMs = nowMs;
    this.#entries.set(key, entry);
    return entry.value;
  }

  set(key: string, value: Value, nowMs: number): void {
    this.#entries.delete(key);
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size >= this.#most && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(key, { value, usedAtMs: nowMs });
  }

  /** The value of a connection; a new one where it is not known. */
  getOrMake(key: string, nowMs: number, make: () => Value): Value {
    const known = this.get(key, nowMs);
    if (known !== undefined) return known;
    const made = make();
    this.set(key, made, nowMs);
    return made;
  }
}
