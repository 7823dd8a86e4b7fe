/** Randomness as a port: pure code asks for numbers, its caller decides where they come from. */

/** Uniform numbers. `next` gives [0, 1). */
export interface Random {
  next(): number;
}

/**
 * A generator that repeats a run exactly (mulberry32: 32 bits of state, period 2^32). For simulation and tests,
 * never for keys.
 */
export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }
}

/** A whole number from 0 to `bound - 1`. */
export function randomBelow(random: Random, bound: number): number {
  return Math.floor(random.next() * bound);
}
