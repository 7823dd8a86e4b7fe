/**
 * What was read from an end of a relay and its receiver has not taken yet, and the buffer that reads go to. Memory is
 * counted for all ends together.
 */
import type { Counters } from "./counters.ts";

export interface HeldBytesOptions {
  readonly bufferBytes: number;
  /** From here on {@link HeldBytes.isFull}. */
  readonly limitBytes: number;
  readonly counters: Counters;
}

export class HeldBytes {
  readonly #options: HeldBytesOptions;
  /** What is read goes here. A slow receiver keeps it with what it did not take, and another one takes its place. */
  #buffer: Uint8Array;
  readonly #spareBuffers: Uint8Array[] = [];
  readonly #bytes = new Map<number, Uint8Array>();
  readonly #lent = new Map<number, Uint8Array>();
  #countedBytes = 0;

  constructor(options: HeldBytesOptions) {
    this.#options = options;
    this.#buffer = new Uint8Array(options.bufferBytes);
  }

  get buffer(): Uint8Array {
    return this.#buffer;
  }

  /** Whether no more should be held: the receivers together hold all that they may. */
  get isFull(): boolean {
    return this.#countedBytes >= this.#options.limitBytes;
  }

  /** Keeps `bytes` for `end`. The whole array counts until it has been forgotten: so long it takes up memory. */
  hold(end: number, bytes: Uint8Array): void {
    this.#bytes.set(end, bytes);
    this.count(bytes.buffer.byteLength);
  }

  /** Keeps what is in the buffer from `start` on, and gives reads another one. */
  holdBuffer(end: number, start: number, length: number): void {
    this.hold(end, this.#buffer.subarray(start, length));
    this.#lent.set(end, this.#buffer);
    this.#buffer = this.#spareBuffers.pop() ?? new Uint8Array(this.#options.bufferBytes);
  }

  /** What is held for `end`. */
  get(end: number): Uint8Array {
    return this.#bytes.get(end) as Uint8Array;
  }

  /** The first bytes of what is held were taken; these are left. */
  keep(end: number, rest: Uint8Array): void {
    this.#bytes.set(end, rest);
  }

  forget(end: number): void {
    const bytes = this.#bytes.get(end);
    if (bytes === undefined) return;
    this.#bytes.delete(end);
    this.count(-bytes.buffer.byteLength);
    const lent = this.#lent.get(end);
    if (lent === undefined) return;
    this.#lent.delete(end);
    this.#spareBuffers.push(lent);
  }

  /** Memory that is held elsewhere, or no longer. */
  count(changeBytes: number): void {
    this.#countedBytes += changeBytes;
    this.#options.counters.add("pendingBytes", changeBytes);
  }
}
