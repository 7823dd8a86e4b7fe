/**
 * Bounds per client, shared by all workers without locks: an open-addressing hash table in shared memory, one entry for
 * each IPv4 address or IPv6 /64. Counts are exact (atomic); that an idle entry may be given to another client while a
 * third worker looks at it makes a bound a little too generous, never too strict.
 */
import { readUint32 } from "@hybrid-access/core/base/bytes";
import { type IpAddress, isIpv4 } from "@hybrid-access/core/base/ip-address";

/** The most that one client may have or do at once. */
export interface ClientLimits {
  /** Connections that are not relayed yet (RFC 8803 section 9.3). */
  readonly pending: number;
  /** Connections in all. */
  readonly open: number;
  /** New connections in any second of the clock. */
  readonly newPerSecond: number;
}

const ENTRIES = 65_536;
const PROBES = 32;

/** Words of an entry. */
const STATE = 0;
const KEY_HIGH = 1;
const KEY_LOW = 2;
const PENDING = 3;
const OPEN = 4;
/** When the client was last seen, in seconds. */
const SEEN = 5;
/** The second, its lowest bits, and the new connections in it: in one word, so that workers change both at once. */
const NEW = 6;
/** Connections at the farm's other nodes, as far as they have said so. */
const OTHERS = 7;
const WORDS = 8;

const COUNT_BITS = 20;
const COUNT_MASK = (1 << COUNT_BITS) - 1;

const EMPTY = 0;
const CLAIMED = 1;
const READY = 2;

/** An entry without connections may be taken over after this many seconds. */
const IDLE_SECONDS = 10;

/** Why a connection was not admitted. */
export type Refusal = "pending" | "open" | "rate" | "table-full";

export class ClientTable {
  readonly #words: Int32Array;
  readonly #limits: ClientLimits;

  constructor(memory: SharedArrayBuffer, limits: ClientLimits) {
    this.#words = new Int32Array(memory);
    this.#limits = limits;
  }

  /** Memory for one table, to be shared by the workers. */
  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(ENTRIES * WORDS * Int32Array.BYTES_PER_ELEMENT);
  }

  /** Counts a new, pending connection of `client`. Gives the entry for the calls below, or why it must be refused. */
  admit(client: IpAddress, nowMs: number): number | Refusal {
    const second = Math.floor(nowMs / 1000);
    const entry = this.#find(client, second);
    if (entry === undefined) return "table-full";
    if (this.#countNew(entry, second) > this.#limits.newPerSecond) return "rate";
    if (Atomics.add(this.#words, entry + PENDING, 1) >= this.#limits.pending) {
      Atomics.sub(this.#words, entry + PENDING, 1);
      return "pending";
    }
    const others = Atomics.load(this.#words, entry + OTHERS);
    if (Atomics.add(this.#words, entry + OPEN, 1) + others >= this.#limits.open) {
      Atomics.sub(this.#words, entry + PENDING, 1);
      Atomics.sub(this.#words, entry + OPEN, 1);
      return "open";
    }
    return entry;
  }

  /** The connection is relayed now: no longer pending. */
  settle(entry: number): void {
    Atomics.sub(this.#words, entry + PENDING, 1);
  }

  /** The connection is gone; `settled` says whether {@link settle} was called for it. */
  leave(entry: number, settled: boolean): void {
    if (!settled) this.settle(entry);
    Atomics.sub(this.#words, entry + OPEN, 1);
  }

  /** Clients with at least so many connections here, by their address or prefix in hexadecimal. */
  counts(least: number): Map<string, number> {
    const counts = new Map<string, number>();
    for (let entry = 0; entry < this.#words.length; entry += WORDS) {
      const open = Atomics.load(this.#words, entry + OPEN);
      if (open >= least && Atomics.load(this.#words, entry + STATE) === READY) counts.set(this.#keyOf(entry), open);
    }
    return counts;
  }

  /** What clients have at other nodes, all those left out nothing. A client seen nowhere here gets an entry when it comes. */
  setOthers(others: ReadonlyMap<string, number>): void {
    for (let entry = 0; entry < this.#words.length; entry += WORDS) {
      if (Atomics.load(this.#words, entry + STATE) !== READY) continue;
      Atomics.store(this.#words, entry + OTHERS, others.get(this.#keyOf(entry)) ?? 0);
    }
  }

  #keyOf(entry: number): string {
    return [KEY_HIGH, KEY_LOW]
      .map((word) => ((this.#words[entry + word] ?? 0) >>> 0).toString(16).padStart(8, "0"))
      .join("");
  }

  #countNew(entry: number, second: number): number {
    Atomics.store(this.#words, entry + SEEN, second);
    const stamp = (second << COUNT_BITS) | 0;
    for (;;) {
      const word = Atomics.load(this.#words, entry + NEW);
      const before = (word & ~COUNT_MASK) === stamp ? word & COUNT_MASK : 0;
      const count = Math.min(before + 1, COUNT_MASK);
      if (Atomics.compareExchange(this.#words, entry + NEW, word, stamp | count) === word) return count;
    }
  }

  #find(client: IpAddress, second: number): number | undefined {
    const at = isIpv4(client) ? 8 : 0;
    const high = readUint32(client, at) | 0;
    const low = readUint32(client, at + 4) | 0;
    const start = hash(high, low);
    for (let probe = 0; probe < PROBES; probe++) {
      const entry = ((start + probe) % ENTRIES) * WORDS;
      if (this.#holds(entry, high, low)) return entry;
      if (Atomics.load(this.#words, entry + STATE) === EMPTY) break;
    }
    for (let probe = 0; probe < PROBES; probe++) {
      const entry = ((start + probe) % ENTRIES) * WORDS;
      if (this.#claim(entry, high, low, second)) return entry;
    }
    return undefined;
  }

  #holds(entry: number, high: number, low: number): boolean {
    const words = this.#words;
    return (
      Atomics.load(words, entry + STATE) === READY && words[entry + KEY_HIGH] === high && words[entry + KEY_LOW] === low
    );
  }

  /** Takes an empty entry, or one whose client has been idle. */
  #claim(entry: number, high: number, low: number, second: number): boolean {
    const words = this.#words;
    const state = Atomics.load(words, entry + STATE);
    const idle = words[entry + OPEN] === 0 && second - (words[entry + SEEN] ?? 0) > IDLE_SECONDS;
    if (state === CLAIMED || (state === READY && !idle)) return this.#holds(entry, high, low);
    if (Atomics.compareExchange(words, entry + STATE, state, CLAIMED) !== state) return false;
    words[entry + KEY_HIGH] = high;
    words[entry + KEY_LOW] = low;
    Atomics.store(words, entry + NEW, 0);
    Atomics.store(words, entry + OTHERS, 0);
    Atomics.store(words, entry + SEEN, second);
    Atomics.store(words, entry + STATE, READY);
    return true;
  }
}

function hash(high: number, low: number): number {
  let mixed = Math.imul(high ^ (low >>> 15), 0x85ebca6b) ^ Math.imul(low, 0xc2b2ae35);
  mixed ^= mixed >>> 13;
  return (Math.imul(mixed, 0x27d4eb2f) >>> 0) % ENTRIES;
}
