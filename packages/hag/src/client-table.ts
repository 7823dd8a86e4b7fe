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

/** Words of an entry. The first two are its client as one number of 64 bits, so that workers agree whose it is. */
const PENDING = 2;
const OPEN = 3;
/** When the client was last seen, in seconds. */
const SEEN = 4;
/** The second, its lowest bits, and the new connections in it: in one word, so that workers change both at once. */
const NEW = 5;
const WORDS = 6;

const COUNT_BITS = 20;
const COUNT_MASK = (1 << COUNT_BITS) - 1;

/** The client of an entry that nobody has. */
const NOBODY = 0n;

/** An entry without connections may be taken over after this many seconds. */
const IDLE_SECONDS = 10;

/** Why a connection was not admitted. */
export type Refusal = "pending" | "open" | "rate" | "table-full";

export class ClientTable {
  readonly #words: Int32Array;
  /** The same memory: the client of the entry at word `entry` is at `entry / 2`. */
  readonly #clients: BigUint64Array;
  readonly #limits: ClientLimits;

  constructor(memory: SharedArrayBuffer, limits: ClientLimits) {
    this.#words = new Int32Array(memory);
    this.#clients = new BigUint64Array(memory);
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
    if (Atomics.add(this.#words, entry + OPEN, 1) >= this.#limits.open) {
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

  #find(address: IpAddress, second: number): number | undefined {
    const at = isIpv4(address) ? 8 : 0;
    const high = readUint32(address, at);
    const low = readUint32(address, at + 4);
    const start = hash(high, low);
    const client = clientOf(high, low);
    for (let probe = 0; probe < PROBES; probe++) {
      const entry = ((start + probe) % ENTRIES) * WORDS;
      const holder = Atomics.load(this.#clients, entry / 2);
      if (holder === client) return entry;
      if (holder === NOBODY) break;
    }
    for (let probe = 0; probe < PROBES; probe++) {
      const entry = ((start + probe) % ENTRIES) * WORDS;
      if (this.#claim(entry, client, second)) return entry;
    }
    return undefined;
  }

  /** Takes an entry that nobody has, or whose client has been idle; true also if another worker took it for this client. */
  #claim(entry: number, client: bigint, second: number): boolean {
    const holder = Atomics.load(this.#clients, entry / 2);
    if (holder === client) return true;
    if (holder !== NOBODY && !this.#isIdle(entry, second)) return false;
    // Before the entry is taken, so that it is at no moment an idle one for a third worker.
    Atomics.store(this.#words, entry + SEEN, second);
    const found = Atomics.compareExchange(this.#clients, entry / 2, holder, client);
    return found === holder || found === client;
  }

  #isIdle(entry: number, second: number): boolean {
    const seen = Atomics.load(this.#words, entry + SEEN);
    return Atomics.load(this.#words, entry + OPEN) === 0 && second - seen > IDLE_SECONDS;
  }
}

/** ::/64 is nobody's; who claims to come from it is counted with 0:0:0:1::/64, which is nobody's either. */
function clientOf(high: number, low: number): bigint {
  const client = (BigInt(high) << 32n) | BigInt(low);
  return client === NOBODY ? 1n : client;
}

function hash(high: number, low: number): number {
  let mixed = Math.imul(high ^ (low >>> 15), 0x85ebca6b) ^ Math.imul(low, 0xc2b2ae35);
  mixed ^= mixed >>> 13;
  return (Math.imul(mixed, 0x27d4eb2f) >>> 0) % ENTRIES;
}
