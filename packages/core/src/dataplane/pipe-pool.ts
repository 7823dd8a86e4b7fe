/**
 * Pipes for bulk data: each holds a stretch of one stream, from the moment it is taken from its sender until the receiver
 * has it whole. Opened when they are needed; a few are kept.
 */
import type { Engine, Leg, Pipe } from "../engine/engine.ts";
import { ERRNO } from "../platform/errno.ts";
import type { Side } from "./relay-end.ts";

/**
 * Bulk data from one side goes through pipes, of which there are at most `most`. It is the side with plain TCP legs: from
 * those Linux moves pages into a pipe, while from Multipath TCP it copies.
 */
export interface PipeUse {
  readonly from: Side;
  readonly most: number;
}

/** No pipe is left; nothing was moved. */
export const NO_PIPE = -ERRNO.EMFILE;

/** Idle pipes that stay open: one is enough unless receivers lag behind. */
const MOST_IDLE = 4;

interface Stretch {
  readonly pipe: Pipe;
  leftBytes: number;
}

export class PipePool {
  readonly #engine: Engine;
  readonly #bytes: number;
  readonly #from: Side | undefined;
  readonly #idle: Stretch[] = [];
  /** By the end that it comes from. */
  readonly #busy = new Map<number, Stretch>();
  #mayOpen: number;

  /** Pipes of `bytes` each. Both legs of a stretch are the engine's; there are no pipes where it has none. */
  constructor(engine: Engine, bytes: number, use: PipeUse | undefined) {
    this.#engine = engine;
    this.#bytes = bytes;
    this.#from = engine.openPipe === undefined ? undefined : use?.from;
    this.#mayOpen = use?.most ?? 0;
  }

  /** Whether a stretch of this end can begin. */
  isFor(end: number): boolean {
    return (end & 1) === this.#from && (this.#idle.length > 0 || this.#mayOpen > 0);
  }

  /** Begins a stretch of `end`, which has none: as {@link Pipe.fill}, or {@link NO_PIPE}. */
  fill(end: number, leg: Leg): number {
    const stretch = this.#idle.pop() ?? this.#open();
    if (stretch === undefined) return NO_PIPE;
    const length = stretch.pipe.fill(leg, this.#bytes);
    if (length > 0) {
      stretch.leftBytes = length;
      this.#busy.set(end, stretch);
    } else {
      this.#rest(stretch);
    }
    return length;
  }

  /** A host that refuses one is not asked again. */
  #open(): Stretch | undefined {
    if (this.#mayOpen === 0) return undefined;
    const pipe = this.#engine.openPipe?.(this.#bytes);
    this.#mayOpen = pipe === undefined ? 0 : this.#mayOpen - 1;
    return pipe && { pipe, leftBytes: 0 };
  }

  /** Gives the stretch of `end` to its receiver: as {@link Pipe.drain}. */
  drain(end: number, leg: Leg): number {
    const stretch = this.#busy.get(end) as Stretch;
    const taken = stretch.pipe.drain(leg, stretch.leftBytes);
    if (taken > 0) stretch.leftBytes -= taken;
    if (stretch.leftBytes === 0) {
      this.#busy.delete(end);
      this.#rest(stretch);
    }
    return taken;
  }

  #rest(stretch: Stretch): void {
    if (this.#idle.length < MOST_IDLE) this.#idle.push(stretch);
    else this.#close(stretch);
  }

  #close({ pipe }: Stretch): void {
    pipe.close();
    this.#mayOpen += 1;
  }

  /** Whether all that was taken from `end` has been given on. */
  isDrained(end: number): boolean {
    return !this.#busy.has(end);
  }

  /** What `end` has left is lost. */
  drop(end: number): void {
    const stretch = this.#busy.get(end);
    if (stretch === undefined) return;
    this.#busy.delete(end);
    this.#close(stretch);
  }
}
