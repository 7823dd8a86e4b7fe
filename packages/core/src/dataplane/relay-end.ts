/** The ends of a relay: their legs, and what is known of each. */
import { type Engine, type Leg, WOULD_BLOCK } from "../engine/engine.ts";

export const NEAR = 0;
export const FAR = 1;
export type Side = typeof NEAR | typeof FAR;

/** In place of a leg. */
export const NO_LEG: Leg = -1;

/** What an end is known to be: bits of one number. */
export const END = {
  /** There may be something to read. */
  readable: 1,
  /** It takes something. */
  writable: 2,
  /** Its peer has ended its stream, and all of it was read. */
  ended: 4,
  /** We have ended our stream toward it. */
  shut: 8,
  /** Waits in the run queue. */
  queued: 16,
  /** Urgent data is in sight, or an end that may be an error: a short read does not mean that nothing more comes. */
  unsure: 32,
  /** More comes from it than its receiver takes. */
  outpacing: 64,
  /** Bytes from it are held. */
  held: 128,
  /** It tells when it can be written to. */
  tellsWritable: 256,
  /** All that its peer has sent has arrived, up to the end of its stream: a short read brings the last bytes. */
  ending: 512,
  /** Much comes from it at once: it goes through a pipe. */
  bulk: 1024,
  /** Bytes from it are in a pipe. */
  piped: 2048,
} as const;

/** Ends by number: those of slot `n` are `2 * n` (near) and `2 * n + 1` (far). */
export class RelayEnds {
  readonly #engines: readonly [Engine, Engine];
  readonly #legs: Int32Array;
  readonly #flags: Uint16Array;

  constructor(engines: readonly [Engine, Engine], count: number) {
    this.#engines = engines;
    this.#legs = new Int32Array(count).fill(NO_LEG);
    this.#flags = new Uint16Array(count);
  }

  leg(end: number): Leg {
    return this.#legs[end] as number;
  }

  engine(end: number): Engine {
    return this.#engines[(end & 1) as Side];
  }

  /** All bits of {@link END}. */
  flags(end: number): number {
    return this.#flags[end] as number;
  }

  /** Whether one of `bits` is set. */
  is(end: number, bits: number): boolean {
    return ((this.#flags[end] as number) & bits) !== 0;
  }

  set(end: number, bits: number): void {
    this.#flags[end] = (this.#flags[end] as number) | bits;
  }

  unset(end: number, bits: number): void {
    this.#flags[end] = (this.#flags[end] as number) & ~bits;
  }

  /** Gives the end a leg, and watches it. */
  attach(end: number, leg: Leg, bits: number): void {
    this.#legs[end] = leg;
    this.set(end, bits);
    this.engine(end).watch(leg, end, (bits & END.tellsWritable) !== 0);
  }

  /** Forgets the leg. The end's place in the run queue stays until its turn, so that it is never there twice. */
  detach(end: number): void {
    this.#legs[end] = NO_LEG;
    this.#flags[end] = (this.#flags[end] as number) & END.queued;
  }

  tellWritable(end: number, tells: boolean): void {
    if (tells === this.is(end, END.tellsWritable)) return;
    this.#flags[end] = (this.#flags[end] as number) ^ END.tellsWritable;
    this.engine(end).changeWatch(this.leg(end), end, tells);
  }

  /** It did not take all that there was. */
  notTaken(end: number): void {
    this.unset(end, END.writable);
    this.tellWritable(end, true);
  }

  /** As {@link Engine.read}, and what it tells of what is left to read. */
  read(end: number, into: Uint8Array, length: number): number {
    const result = this.engine(end).read(this.leg(end), into, length);
    if (result === WOULD_BLOCK) this.emptied(end);
    // A short read has emptied the socket; when more comes, an edge says so.
    else if (result > 0 && result < length && !this.is(end, END.unsure)) {
      this.unset(end, END.readable);
      if (this.is(end, END.ending)) this.set(end, END.ended);
    }
    return result;
  }

  /** There is nothing to read for now. */
  emptied(end: number): void {
    this.unset(end, END.readable | END.outpacing | END.unsure);
  }
}
