/**
 * Joins on their way from the worker they came to, over the control plane, to the one that has their connection. They are
 * counted in memory that all threads share: a flood of them would fill the queues between threads without end.
 */

/** For one worker. Further ones are dropped; clients repeat them. */
export const MOST_PASSED = 4096;

export class PassedJoins {
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  static createMemory(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * workers);
  }

  /** One more goes to this worker; false when too many are on their way, and this one must not be. */
  leave(worker: number): boolean {
    if (Atomics.add(this.#words, worker, 1) < MOST_PASSED) return true;
    Atomics.sub(this.#words, worker, 1);
    return false;
  }

  /** One has come: this worker says so itself. */
  arrive(worker: number): void {
    // It may have been sent to the worker before this one, and not be counted any more.
    if (Atomics.load(this.#words, worker) > 0) Atomics.sub(this.#words, worker, 1);
  }

  /** The worker has died, and what was on its way to it is lost. */
  forget(worker: number): void {
    Atomics.store(this.#words, worker, 0);
  }
}
