/**
 * Which entry of the client table each connection of a worker holds, in shared memory: when a worker's thread dies, the
 * control plane gives back what its connections held, or those clients would run into their limits for ever.
 */
import type { ClientTable } from "./client-table.ts";

/** A word is 0, or twice the entry plus 2; plus 1 once the connection is settled. */
const NOTHING = 0;
const SETTLED = 1;

export class ClientSlots {
  readonly #words: Int32Array;

  /** The slots of one worker. */
  constructor(memory: SharedArrayBuffer, capacity: number, worker: number) {
    this.#words = new Int32Array(memory, Int32Array.BYTES_PER_ELEMENT * capacity * worker, capacity);
  }

  static createMemory(capacity: number, workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * capacity * workers);
  }

  /** The connection in `slot` has been admitted with `entry`. */
  take(slot: number, entry: number): void {
    this.#words[slot] = 2 * entry + 2;
  }

  /** It is relayed now. */
  settle(slot: number, table: ClientTable): void {
    const word = this.#words[slot] ?? NOTHING;
    if (word === NOTHING) return;
    table.settle(entryOf(word));
    this.#words[slot] = word | SETTLED;
  }

  /** It is gone; nothing happens when it had not been admitted. */
  leave(slot: number, table: ClientTable): void {
    const word = this.#words[slot] ?? NOTHING;
    if (word !== NOTHING) table.leave(entryOf(word), (word & SETTLED) !== 0);
    this.#words[slot] = NOTHING;
  }

  /** All are gone. To be called only when the worker's thread has ended. */
  leaveAll(table: ClientTable): void {
    for (let slot = 0; slot < this.#words.length; slot++) this.leave(slot, table);
  }
}

function entryOf(word: number): number {
  return (word >> 1) - 1;
}
