/**
 * The relay: pairs of legs, and the bytes between them. Each pair has a slot; its two ends are `2 * slot` (near: the
 * leg that was accepted) and `2 * slot + 1` (far: the leg that was opened for it). The other end of `end` is `end ^ 1`.
 *
 * Rules that every change must keep:
 * - A byte is read only when the other end can take it, so an idle connection owns no buffer; what a short write leaves
 *   is copied, bounded by one buffer for each direction and by `pendingLimitBytes` in all.
 * - The end of a stream is passed on (half-close) after its last byte; the legs are closed when both streams ended.
 * - An error at either end resets both: nothing cut short may look complete.
 * - Events are edges: an end is remembered as readable or writable until a call said "would block".
 */
import { type Engine, type Leg, READY, WOULD_BLOCK } from "../engine/engine.ts";
import type { Counters } from "./counters.ts";
import { TimerWheel } from "./timer-wheel.ts";

export const NEAR = 0;
export const FAR = 1;
export type Side = typeof NEAR | typeof FAR;

const NO_LEG: Leg = -1;

/** What an end is known to be. */
const READABLE = 1;
const WRITABLE = 2;
/** Its peer has ended its stream, and all of it was read. */
const ENDED = 4;
/** We have ended our stream toward it. */
const SHUT = 8;
/** Waits in the run queue. */
const QUEUED = 16;
/** Its peer's end is in sight, or may be: a short read does not mean that nothing more comes. */
const ENDING = 32;

/** Reads from one end before others get their turn. */
const READS_PER_TURN = 8;

export interface RelayOptions {
  /** Engines of the near and of the far legs. */
  readonly engines: readonly [Engine, Engine];
  /** Slots. */
  readonly capacity: number;
  readonly bufferBytes: number;
  /** Bytes that all slow receivers together may have waiting here; beyond it nothing more is read. */
  readonly pendingLimitBytes: number;
  /** A relayed connection without a byte for this long is reset. */
  readonly idleMs: number;
  /** The same, once one of its streams has ended. */
  readonly halfClosedMs: number;
  readonly counters: Counters;
  /** The slot is free again: forget what belongs to it. */
  readonly onClosed: (slot: number) => void;
  /** A deadline set with {@link Relay.setTimer} passed while the slot was not being relayed. */
  readonly onTimer: (slot: number) => void;
}

export class Relay {
  readonly #options: RelayOptions;
  readonly #engines: readonly [Engine, Engine];
  readonly #buffer: Uint8Array;
  readonly #legs: Int32Array;
  readonly #flags: Uint8Array;
  readonly #relaying: Uint8Array;
  readonly #activeAtMs: Float64Array;
  /** By end: bytes read from it that the other end has not taken yet. */
  readonly #pending = new Map<number, Uint8Array>();
  readonly #freeSlots: number[] = [];
  readonly #closedSlots: number[] = [];
  readonly #timers: TimerWheel;
  #pendingBytes = 0;
  /** Ends that may go on once `pendingBytes` has fallen below its limit. */
  #starved: number[] = [];
  #runQueue: number[] = [];
  #nowMs = 0;

  constructor(options: RelayOptions) {
    const { capacity } = options;
    this.#options = options;
    this.#engines = options.engines;
    this.#buffer = new Uint8Array(options.bufferBytes);
    this.#legs = new Int32Array(2 * capacity).fill(NO_LEG);
    this.#flags = new Uint8Array(2 * capacity);
    this.#relaying = new Uint8Array(capacity);
    this.#activeAtMs = new Float64Array(capacity);
    this.#timers = new TimerWheel(capacity);
    for (let slot = capacity - 1; slot >= 0; slot--) this.#freeSlots.push(slot);
  }

  /** Whether another connection finds a slot. */
  get hasRoom(): boolean {
    return this.#freeSlots.length > 0;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Takes a slot for an accepted leg, and begins to watch it. The caller has asked {@link hasRoom}. */
  open(near: Leg): number {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) throw new RangeError("the relay has no slot left");
    this.#options.counters.add("connectionsActive");
    this.#setLeg(2 * slot, near);
    return slot;
  }

  /** Gives the slot its far leg, in place of an earlier one, which is reset. */
  setFar(slot: number, far: Leg): void {
    this.dropFar(slot);
    this.#setLeg(2 * slot + 1, far);
  }

  /** Resets the far leg, if there is one. */
  dropFar(slot: number): void {
    const end = 2 * slot + 1;
    const leg = this.#legs[end] as number;
    if (leg !== NO_LEG) this.#engines[FAR].reset(leg);
    this.#legs[end] = NO_LEG;
    this.#flags[end] = 0;
  }

  #setLeg(end: number, leg: Leg): void {
    this.#legs[end] = leg;
    this.#flags[end] = 0;
    this.#engineOf(end).watch(leg, end);
  }

  #engineOf(end: number): Engine {
    return this.#engines[(end & 1) as Side];
  }

  /** The leg at one side of a slot; -1 when it has none. */
  leg(slot: number, side: Side): Leg {
    return this.#legs[2 * slot + side] as number;
  }

  /** Bytes that came from `side` and go first to the other one: call before {@link start}. The array is kept. */
  preload(slot: number, side: Side, bytes: Uint8Array): void {
    if (bytes.length > 0) this.#hold(2 * slot + side, bytes);
  }

  /** Relays from now on, both ways. */
  start(slot: number): void {
    this.#relaying[slot] = 1;
    this.#activeAtMs[slot] = this.#nowMs;
    this.setTimer(slot, this.#options.idleMs);
    for (const end of [2 * slot, 2 * slot + 1]) {
      // Edges seen before now are gone, that of the peer's end too; a call that would block costs nothing.
      this.#flags[end] = (this.#flags[end] as number) | READABLE | WRITABLE | ENDING;
      this.#enqueue(end);
    }
  }

  /** Lets `onTimer` be called `delayMs` from now, unless the slot is closed or the timer set again before. */
  setTimer(slot: number, delayMs: number): void {
    this.#timers.set(slot, this.#nowMs + delayMs);
  }

  clearTimer(slot: number): void {
    this.#timers.cancel(slot);
  }

  /** Resets both legs: their peers see an abort. */
  abort(slot: number): void {
    this.#options.counters.add("connectionsReset");
    this.#release(slot, (engine, leg) => engine.reset(leg));
  }

  /** Closes both legs in order: what was written still arrives. */
  finish(slot: number): void {
    this.#release(slot, (engine, leg) => engine.close(leg));
  }

  #release(slot: number, end: (engine: Engine, leg: Leg) => void): void {
    for (const side of [NEAR, FAR] as const) {
      const at = 2 * slot + side;
      const leg = this.#legs[at] as number;
      if (leg !== NO_LEG) end(this.#engines[side], leg);
      this.#legs[at] = NO_LEG;
      this.#flags[at] = 0;
      this.#forget(at);
    }
    this.#relaying[slot] = 0;
    this.#timers.cancel(slot);
    this.#closedSlots.push(slot);
    this.#options.counters.add("connectionsActive", -1);
    this.#options.onClosed(slot);
  }

  /**
   * Readiness of an end. True when the relay took care of it; false when the slot is not being relayed yet and whoever
   * opened it must act. Ends that were closed a moment ago are ignored.
   */
  onReady(end: number, bits: number): boolean {
    if (this.#legs[end] === NO_LEG) return true;
    if (this.#relaying[end >> 1] === 0) return false;
    if ((bits & READY.error) !== 0) {
      this.abort(end >> 1);
      return true;
    }
    let flags = this.#flags[end] as number;
    if ((bits & (READY.read | READY.peerClosed | READY.hangUp)) !== 0) flags |= READABLE;
    if ((bits & (READY.peerClosed | READY.hangUp)) !== 0) flags |= ENDING;
    if ((bits & READY.write) !== 0) flags |= WRITABLE;
    this.#flags[end] = flags;
    if ((flags & READABLE) !== 0) this.#turn(end);
    if ((bits & READY.write) !== 0 && this.#legs[end] !== NO_LEG) this.#turn(end ^ 1);
    return true;
  }

  /** Whether ends wait for their next turn, so that the loop must not sleep. */
  get hasWork(): boolean {
    return this.#runQueue.length > 0;
  }

  /** Gives every waiting end one turn. */
  runQueued(): void {
    const queue = this.#runQueue;
    this.#runQueue = [];
    for (const end of queue) {
      this.#flags[end] = (this.#flags[end] as number) & ~QUEUED;
      if (this.#legs[end] !== NO_LEG) this.#turn(end);
    }
  }

  /** Time passed: runs the timers. */
  advance(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#timers.expire(nowMs, (slot) => this.#onTimer(slot));
  }

  /** Until when the loop may sleep, from now; undefined for ever. */
  timeoutMs(nowMs: number): number | undefined {
    return this.#timers.timeoutMs(nowMs);
  }

  /**
   * Slots closed since the last call may be used again. Not before all events of a batch have been handled: an event of
   * a closed leg must not meet its successor.
   */
  recycle(): void {
    while (this.#closedSlots.length > 0) this.#freeSlots.push(this.#closedSlots.pop() as number);
  }

  #onTimer(slot: number): void {
    if (this.#relaying[slot] === 0) {
      this.#options.onTimer(slot);
      return;
    }
    const halfClosed = ((this.#flags[2 * slot] as number) | (this.#flags[2 * slot + 1] as number)) & ENDED;
    const allowedMs = halfClosed === 0 ? this.#options.idleMs : this.#options.halfClosedMs;
    const idleMs = this.#nowMs - (this.#activeAtMs[slot] as number);
    if (idleMs < allowedMs) {
      this.setTimer(slot, allowedMs - idleMs);
    } else {
      this.#options.counters.add("connectionsTimedOut");
      this.abort(slot);
    }
  }

  #enqueue(end: number): void {
    const flags = this.#flags[end] as number;
    if ((flags & QUEUED) !== 0) return;
    this.#flags[end] = flags | QUEUED;
    this.#runQueue.push(end);
  }

  /** Moves what `from` has to the other end, as far as both go, and no longer than its share of the worker. */
  #turn(from: number): void {
    if (((this.#flags[from] as number) & QUEUED) !== 0) return;
    for (let reads = 0; reads < READS_PER_TURN; reads++) {
      if (!this.#flushPending(from) || !this.#move(from)) return;
    }
    this.#enqueue(from);
  }

  /** Writes what is pending. True when nothing is left, and more may be read. */
  #flushPending(from: number): boolean {
    const bytes = this.#pending.get(from);
    if (bytes === undefined) return true;
    const taken = this.#write(from ^ 1, bytes, bytes.length);
    if (taken < 0) return false;
    this.#forget(from);
    if (taken === bytes.length) return true;
    this.#hold(from, bytes.subarray(taken));
    return false;
  }

  /** One read and one write. True when there may be more. */
  #move(from: number): boolean {
    const flags = this.#flags[from] as number;
    if ((flags & ENDED) !== 0) return this.#passEnd(from);
    if ((flags & READABLE) === 0 || ((this.#flags[from ^ 1] as number) & WRITABLE) === 0) return false;
    if (this.#pendingBytes >= this.#options.pendingLimitBytes) {
      this.#starved.push(from);
      return false;
    }
    const length = this.#engineOf(from).read(this.#legs[from] as number, this.#buffer, this.#buffer.length);
    if (length > 0) return this.#forward(from, length);
    if (length === 0) {
      this.#flags[from] = flags | ENDED;
      return true;
    }
    if (length !== WOULD_BLOCK) this.abort(from >> 1);
    else this.#flags[from] = flags & ~(READABLE | ENDING);
    return false;
  }

  #forward(from: number, length: number): boolean {
    // A short read has emptied the socket; when more comes, an edge says so.
    if (length < this.#buffer.length && ((this.#flags[from] as number) & ENDING) === 0) {
      this.#flags[from] = (this.#flags[from] as number) & ~READABLE;
    }
    this.#activeAtMs[from >> 1] = this.#nowMs;
    this.#options.counters.add((from & 1) === NEAR ? "bytesUp" : "bytesDown", length);
    const taken = this.#write(from ^ 1, this.#buffer, length);
    if (taken === length) return true;
    if (this.#legs[from] !== NO_LEG) this.#hold(from, this.#buffer.slice(Math.max(0, taken), length));
    return false;
  }

  /** Bytes taken; less than `length`, or -1, when the end takes no more for now, or was aborted. */
  #write(to: number, bytes: Uint8Array, length: number): number {
    if (((this.#flags[to] as number) & WRITABLE) === 0) return -1;
    const taken = this.#engineOf(to).write(this.#legs[to] as number, bytes, length);
    if (taken === length) return taken;
    this.#flags[to] = (this.#flags[to] as number) & ~WRITABLE;
    if (taken < 0 && taken !== WOULD_BLOCK) this.abort(to >> 1);
    return taken < 0 ? -1 : taken;
  }

  /** The stream of `from` has ended and was forwarded whole: half-close the other end, or close both. */
  #passEnd(from: number): boolean {
    const to = from ^ 1;
    if (((this.#flags[to] as number) & SHUT) !== 0) return false;
    this.#flags[to] = (this.#flags[to] as number) | SHUT;
    if (this.#engineOf(to).shutdownWrite(this.#legs[to] as number) < 0) this.abort(from >> 1);
    else if (((this.#flags[from] as number) & SHUT) !== 0) this.finish(from >> 1);
    return false;
  }

  #hold(from: number, bytes: Uint8Array): void {
    this.#pending.set(from, bytes);
    this.#countPending(bytes.length);
  }

  #forget(from: number): void {
    const bytes = this.#pending.get(from);
    if (bytes === undefined) return;
    this.#pending.delete(from);
    this.#countPending(-bytes.length);
    if (this.#starved.length > 0 && this.#pendingBytes < this.#options.pendingLimitBytes) this.#feedStarved();
  }

  #countPending(change: number): void {
    this.#pendingBytes += change;
    this.#options.counters.add("pendingBytes", change);
  }

  #feedStarved(): void {
    const starved = this.#starved;
    this.#starved = [];
    for (const end of starved) if (this.#legs[end] !== NO_LEG) this.#enqueue(end);
  }
}
