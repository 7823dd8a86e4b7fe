/**
 * Bytes of a stream between two positions: written at the end, read from anywhere between, dropped at the start. What
 * the transport keeps until it is acknowledged, or until the application reads it.
 */

interface Block {
  /** Position of the first byte. */
  readonly start: number;
  readonly bytes: Uint8Array;
  /** How much of `bytes` is in use. */
  length: number;
}

/** Small writes share a block of this size, so that many of them cost no more than few. */
const BLOCK_BYTES = 2048;
/** Dropped blocks are cut from the array when there are this many, so that dropping one costs no move of the others. */
const DROPPED_BLOCKS = 64;

const NO_BLOCKS: Block[] = [];

/** The bound on its size is its owner's: it knows the window. */
export class ByteQueue {
  /** {@link NO_BLOCKS} while there are none: most queues of most connections are empty. */
  #blocks = NO_BLOCKS;
  #head = 0;
  #start: number;
  #end: number;

  /** An empty queue at `position`. */
  constructor(position = 0) {
    this.#start = position;
    this.#end = position;
  }

  /** Position of the first byte that is kept. */
  get start(): number {
    return this.#start;
  }

  /** Position behind the last byte. */
  get end(): number {
    return this.#end;
  }

  get size(): number {
    return this.#end - this.#start;
  }

  /** Appends a copy of `bytes`. */
  push(bytes: Uint8Array): void {
    const last = this.#blocks.at(-1);
    const room = last === undefined ? 0 : last.bytes.length - last.length;
    const fitting = Math.min(room, bytes.length);
    if (last !== undefined && fitting > 0) {
      last.bytes.set(bytes.subarray(0, fitting), last.length);
      last.length += fitting;
      this.#end += fitting;
    }
    const rest = bytes.length - fitting;
    if (rest === 0) return;
    const block = new Uint8Array(Math.max(rest, BLOCK_BYTES));
    block.set(bytes.subarray(fitting), 0);
    this.#append(block, rest);
  }

  /** Appends `bytes` themselves: the caller changes them no more. */
  pushOwned(bytes: Uint8Array): void {
    if (bytes.length < BLOCK_BYTES / 4) return this.push(bytes);
    this.#append(bytes, bytes.length);
  }

  #append(bytes: Uint8Array, length: number): void {
    const block = { start: this.#end, bytes, length };
    if (this.#blocks === NO_BLOCKS) this.#blocks = [block];
    else this.#blocks.push(block);
    this.#end += length;
  }

  /**
   * The bytes from `position` on, `length` of them, all of which are in the queue. A view where one block has them,
   * else a copy.
   */
  view(position: number, length: number): Uint8Array {
    if (position < this.#start || position + length > this.#end) throw new RangeError("not in the queue");
    let index = this.#indexOf(position);
    const first = this.#blocks[index];
    if (first === undefined || length === 0) return new Uint8Array(0);
    const offset = position - first.start;
    if (offset + length <= first.length) return first.bytes.subarray(offset, offset + length);
    const joined = new Uint8Array(length);
    for (let copied = 0; copied < length; index++) {
      const block = this.#blocks[index];
      if (block === undefined) break;
      const from = position + copied - block.start;
      const part = block.bytes.subarray(from, Math.min(block.length, from + length - copied));
      joined.set(part, copied);
      copied += part.length;
    }
    return joined;
  }

  /** Moves bytes from the start into `into`; returns how many. */
  read(into: Uint8Array): number {
    let copied = 0;
    while (copied < into.length && this.size > 0) {
      const block = this.#blocks[this.#head];
      if (block === undefined) break;
      const from = this.#start - block.start;
      const part = block.bytes.subarray(from, Math.min(block.length, from + into.length - copied));
      into.set(part, copied);
      copied += part.length;
      this.discardTo(this.#start + part.length);
    }
    return copied;
  }

  /** Drops what is before `position`. */
  discardTo(position: number): void {
    this.#start = Math.max(this.#start, Math.min(position, this.#end));
    for (let block = this.#blocks[this.#head]; block !== undefined; block = this.#blocks[this.#head]) {
      if (block.start + block.length > this.#start) break;
      this.#blocks[this.#head++] = EMPTY;
    }
    if (this.#head === this.#blocks.length) {
      this.#blocks = NO_BLOCKS;
      this.#head = 0;
    } else if (this.#head >= DROPPED_BLOCKS) {
      this.#blocks.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** The block that has `position`: blocks are in order, without gaps. */
  #indexOf(position: number): number {
    let low = this.#head;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#blocks[middle]?.start ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

const EMPTY: Block = { start: 0, bytes: new Uint8Array(0), length: 0 };
