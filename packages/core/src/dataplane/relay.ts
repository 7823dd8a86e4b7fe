/**
 * The relay: pairs of legs, and the bytes between them. Each pair has a slot; its two ends are `2 * slot` (near: the
 * leg that was accepted) and `2 * slot + 1` (far: the leg that was opened for it). The other end of `end` is `end ^ 1`.
 *
 * Rules that every change must keep:
 * - A byte is read only when the other end can take it, so an idle connection owns no buffer. What a short write leaves
 *   is kept, once: from then on, until the receiver takes all there is again, only what it takes is removed from the
 *   sender's socket (peek, write, discard). So a slow receiver owns at most one buffer, and none when all receivers
 *   together hold `pendingLimitBytes`.
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
/** Urgent data is in sight, or an end that may be an error: a short read does not mean that nothing more comes. */
const UNSURE = 32;
/** More comes from it than its receiver takes. */
const OUTPACING = 64;
/** Bytes from it are held. */
const HELD = 128;
/** It tells when it can be written to. */
const TELLS_WRITABLE = 256;
/** All that its peer has sent has arrived, up to the end of its stream: a short read brings the last bytes. */
const ENDING = 512;

/** What a read tells more about. */
const READ_TELLS = READY.read | READY.urgent | READY.peerClosed | READY.hangUp | READY.error;

/** A connection without a byte is looked at after so long, and each time after twice as long. */
const LOOK_MS = 500;

/** Reads from one end before others get their turn. */
export const READS_PER_TURN = 8;

export interface RelayOptions {
  /** Engines of the near and of the far legs. */
  readonly engines: readonly [Engine, Engine];
  /** Slots. */
  readonly capacity: number;
  readonly bufferBytes: number;
  /** Memory that all slow receivers together may hold, exceeded by at most one buffer. */
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
  /** What is read goes here. A slow receiver keeps it with what it did not take, and another one takes its place. */
  #buffer: Uint8Array;
  readonly #spareBuffers: Uint8Array[] = [];
  readonly #legs: Int32Array;
  readonly #flags: Uint16Array;
  readonly #relaying: Uint8Array;
  readonly #activeAtMs: Float64Array;
  /** By end, when HELD: what was read from it and the other end has not taken yet. */
  readonly #pending = new Map<number, Uint8Array>();
  readonly #lent = new Map<number, Uint8Array>();
  readonly #freeSlots: number[] = [];
  readonly #closedSlots: number[] = [];
  readonly #timers: TimerWheel;
  #pendingBytes = 0;
  #runQueue: number[] = [];
  #nextQueue: number[] = [];
  #nowMs = 0;
  readonly #expired = (slot: number) => this.#onTimer(slot);

  constructor(options: RelayOptions) {
    const { capacity } = options;
    this.#options = options;
    this.#engines = options.engines;
    this.#buffer = new Uint8Array(options.bufferBytes);
    this.#legs = new Int32Array(2 * capacity).fill(NO_LEG);
    this.#flags = new Uint16Array(2 * capacity);
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
    // Nobody has written to it, so it takes something.
    this.#setLeg(2 * slot, near, WRITABLE);
    return slot;
  }

  /** Gives the slot its far leg, in place of an earlier one, which is reset. */
  setFar(slot: number, far: Leg): void {
    this.dropFar(slot);
    this.#setLeg(2 * slot + 1, far, TELLS_WRITABLE);
  }

  /** Resets the far leg, if there is one. */
  dropFar(slot: number): void {
    const end = 2 * slot + 1;
    const leg = this.#legs[end] as number;
    if (leg !== NO_LEG) this.#engines[FAR].reset(leg);
    this.#clear(end);
  }

  #setLeg(end: number, leg: Leg, flags: number): void {
    this.#legs[end] = leg;
    this.#flags[end] = (this.#flags[end] as number) | flags;
    this.#engineOf(end).watch(leg, end, (flags & TELLS_WRITABLE) !== 0);
  }

  /**
   * Whether this side tells when it can be written to. A far leg does from the start, since that tells that it is
   * connected, and any leg that did not take all there was. A Multipath TCP socket tells so with nearly every
   * acknowledgement, so whoever connects does well to end it then.
   */
  tellWritable(slot: number, side: Side, tells: boolean): void {
    this.#tellWritable(2 * slot + side, tells);
  }

  #tellWritable(end: number, tells: boolean): void {
    const flags = this.#flags[end] as number;
    if (tells === ((flags & TELLS_WRITABLE) !== 0)) return;
    this.#flags[end] = flags ^ TELLS_WRITABLE;
    this.#engineOf(end).changeWatch(this.#legs[end] as number, end, tells);
  }

  /** Forgets a leg. Its place in the run queue stays until its turn, so that it is never there twice. */
  #clear(end: number): void {
    if (((this.#flags[end] as number) & HELD) !== 0) this.#forget(end);
    this.#legs[end] = NO_LEG;
    this.#flags[end] = (this.#flags[end] as number) & QUEUED;
  }

  #engineOf(end: number): Engine {
    return this.#engines[(end & 1) as Side];
  }

  /** The leg at one side of a slot; -1 when it has none. */
  leg(slot: number, side: Side): Leg {
    return this.#legs[2 * slot + side] as number;
  }

  /** Whether an edge has told of something to read at this side, and nothing that was read since says that it is gone. */
  isReadable(slot: number, side: Side): boolean {
    return ((this.#flags[2 * slot + side] as number) & READABLE) !== 0;
  }

  /** {@link Engine.read} for whoever opens the slot: so the relay knows at its start what there is left to read. */
  read(slot: number, side: Side, into: Uint8Array, length: number): number {
    return this.#read(2 * slot + side, into, length);
  }

  #read(end: number, into: Uint8Array, length: number): number {
    const result = this.#engineOf(end).read(this.#legs[end] as number, into, length);
    const flags = this.#flags[end] as number;
    if (result === WOULD_BLOCK) this.#flags[end] = flags & ~(READABLE | OUTPACING | UNSURE);
    // A short read has emptied the socket; when more comes, an edge says so.
    else if (result > 0 && result < length && (flags & UNSURE) === 0) {
      this.#flags[end] = (flags & ~READABLE) | ((flags & ENDING) !== 0 ? ENDED : 0);
    }
    return result;
  }

  /**
   * {@link Engine.write} for whoever opens the slot: the side tells when it takes more. An error is said once, so after one
   * the side still counts as writable: what is preloaded for it fails again, before its end could be taken for a good one.
   */
  write(slot: number, side: Side, bytes: Uint8Array): number {
    const end = 2 * slot + side;
    const taken = this.#engineOf(end).write(this.#legs[end] as number, bytes, bytes.length);
    if (taken === WOULD_BLOCK || (taken >= 0 && taken < bytes.length)) this.#notTaken(end);
    return taken;
  }

  #notTaken(end: number): void {
    this.#flags[end] = (this.#flags[end] as number) & ~WRITABLE;
    this.#tellWritable(end, true);
  }

  /** Bytes that came from `side` and go first to the other one: call before {@link start}. The array is kept. */
  preload(slot: number, side: Side, bytes: Uint8Array): void {
    if (bytes.length > 0) this.#hold(2 * slot + side, bytes);
  }

  /** Relays from now on, both ways. */
  start(slot: number): void {
    this.#relaying[slot] = 1;
    this.#activeAtMs[slot] = this.#nowMs;
    this.setTimer(slot, Math.min(LOOK_MS, this.#options.idleMs));
    for (const end of [2 * slot, 2 * slot + 1]) this.#enqueue(end);
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
      this.#clear(at);
    }
    this.#relaying[slot] = 0;
    this.#timers.cancel(slot);
    this.#closedSlots.push(slot);
    this.#options.counters.add("connectionsActive", -1);
    this.#options.onClosed(slot);
  }

  /** Resets what is left: the worker ends. */
  abortAll(): void {
    for (let slot = 0; slot < this.#relaying.length; slot++) if (this.leg(slot, NEAR) !== NO_LEG) this.abort(slot);
  }

  /**
   * Readiness of an end. True when the relay took care of it; false when the slot is not being relayed yet and whoever
   * opened it must act. Ends that were closed a moment ago are ignored.
   */
  onReady(end: number, bits: number): boolean {
    if (this.#legs[end] === NO_LEG) return true;
    const relaying = this.#relaying[end >> 1] !== 0;
    if (relaying && (bits & READY.error) !== 0) {
      this.abort(end >> 1);
      return true;
    }
    let flags = this.#flags[end] as number;
    if ((bits & READ_TELLS) !== 0) flags |= READABLE;
    if ((bits & (READY.urgent | READY.hangUp | READY.error)) !== 0) flags |= UNSURE;
    else if ((bits & READY.peerClosed) !== 0) flags |= ENDING;
    if ((bits & READY.write) !== 0) flags |= WRITABLE;
    // Remembered before the start too: an edge comes only once.
    this.#flags[end] = flags;
    if (!relaying) return false;
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
    this.#runQueue = this.#nextQueue;
    this.#nextQueue = queue;
    for (const end of queue) {
      this.#flags[end] = (this.#flags[end] as number) & ~QUEUED;
      if (this.#relaying[end >> 1] !== 0) this.#turn(end);
    }
    queue.length = 0;
  }

  /** Time passed: runs the timers. */
  advance(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#timers.expire(nowMs, this.#expired);
  }

  /** Until when the loop may sleep, from the last {@link advance}; undefined for ever. */
  timeoutMs(): number | undefined {
    return this.#timers.timeoutMs(this.#nowMs);
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
      this.setTimer(slot, Math.min(allowedMs - idleMs, Math.max(LOOK_MS, idleMs)));
      if (idleMs >= LOOK_MS) this.#look(slot);
    } else {
      this.#options.counters.add("connectionsTimedOut");
      this.abort(slot);
    }
  }

  /**
   * Reads without an event. Linux (6.18) leaves what came over a subflow there, now and then when another subflow has been
   * closed, and tells nobody; it takes up all that comes afterwards when somebody reads.
   */
  #look(slot: number): void {
    for (const end of [2 * slot, 2 * slot + 1]) {
      if (this.#legs[end] === NO_LEG) return;
      this.#flags[end] = (this.#flags[end] as number) | READABLE;
      this.#turn(end);
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
      if (!this.#flush(from) || !this.#move(from)) return;
    }
    this.#enqueue(from);
  }

  /** Writes what is held. True when nothing is left, and more may be read. */
  #flush(from: number): boolean {
    if (((this.#flags[from] as number) & HELD) === 0) return true;
    const bytes = this.#pending.get(from) as Uint8Array;
    const taken = this.#write(from ^ 1, bytes, bytes.length);
    if (taken < 0) return false;
    if (taken === bytes.length) {
      this.#forget(from);
      return true;
    }
    this.#pending.set(from, bytes.subarray(taken));
    return false;
  }

  /** One read and one write. True when there may be more. */
  #move(from: number): boolean {
    const flags = this.#flags[from] as number;
    if ((flags & ENDED) !== 0) return this.#passEnd(from);
    if ((flags & READABLE) === 0 || ((this.#flags[from ^ 1] as number) & WRITABLE) === 0) return false;
    if ((flags & OUTPACING) !== 0 || this.#pendingBytes >= this.#options.pendingLimitBytes)
      return this.#moveTaken(from);
    return this.#moveRead(from);
  }

  /** Reads, then writes, and holds what is left. */
  #moveRead(from: number): boolean {
    const length = this.#read(from, this.#buffer, this.#buffer.length);
    if (length <= 0) return this.#onNothing(from, length);
    this.#countRead(from, length);
    const isLast = ((this.#flags[from] as number) & ENDED) !== 0;
    if (isLast) this.#noteEnd(from);
    const taken = this.#write(from ^ 1, this.#buffer, length, isLast);
    if (taken === length) return true;
    if (this.#legs[from] === NO_LEG) return false;
    this.#flags[from] = (this.#flags[from] as number) | OUTPACING;
    this.#hold(from, this.#buffer.subarray(Math.max(0, taken), length));
    this.#lent.set(from, this.#buffer);
    this.#buffer = this.#spareBuffers.pop() ?? new Uint8Array(this.#options.bufferBytes);
    return false;
  }

  /** Writes what is there, then takes away only what was written: costs one call more, and no memory. */
  #moveTaken(from: number): boolean {
    const engine = this.#engineOf(from);
    const leg = this.#legs[from] as number;
    const length = engine.peek(leg, this.#buffer, this.#buffer.length);
    if (length <= 0) return this.#onNothing(from, length);
    const taken = this.#write(from ^ 1, this.#buffer, length);
    if (taken <= 0) return false;
    if (engine.discard(leg, taken) !== taken) {
      this.abort(from >> 1);
      return false;
    }
    this.#countRead(from, taken);
    if (taken < length) return false;
    this.#flags[from] = (this.#flags[from] as number) & ~OUTPACING;
    return true;
  }

  /** A read gave the end of the stream (0), nothing for now, or an error. True when there is something to do. */
  #onNothing(from: number, result: number): boolean {
    if (result === 0) {
      this.#flags[from] = (this.#flags[from] as number) | ENDED;
      this.#noteEnd(from);
      return true;
    }
    if (result === WOULD_BLOCK) this.#flags[from] = (this.#flags[from] as number) & ~(READABLE | OUTPACING | UNSURE);
    else this.abort(from >> 1);
    return false;
  }

  #noteEnd(from: number): void {
    this.#activeAtMs[from >> 1] = this.#nowMs;
    this.setTimer(from >> 1, Math.min(LOOK_MS, this.#options.halfClosedMs));
  }

  #countRead(from: number, length: number): void {
    this.#activeAtMs[from >> 1] = this.#nowMs;
    this.#options.counters.add((from & 1) === NEAR ? "bytesUp" : "bytesDown", length);
  }

  /** Bytes taken; less than `length`, or -1, when the end takes no more for now, or was aborted. */
  #write(to: number, bytes: Uint8Array, length: number, isLast = false): number {
    if (((this.#flags[to] as number) & WRITABLE) === 0) return -1;
    const taken = this.#engineOf(to).write(this.#legs[to] as number, bytes, length, isLast);
    if (taken > 0) this.#activeAtMs[to >> 1] = this.#nowMs;
    if (taken === length) return taken;
    if (taken < 0 && taken !== WOULD_BLOCK) this.abort(to >> 1);
    else this.#notTaken(to);
    return taken < 0 ? -1 : taken;
  }

  /** The stream of `from` has ended and was forwarded whole: half-close the other end, or close both. */
  #passEnd(from: number): boolean {
    const to = from ^ 1;
    if (((this.#flags[to] as number) & SHUT) !== 0) return false;
    this.#flags[to] = (this.#flags[to] as number) | SHUT;
    // Closing ends the last stream as well.
    if (((this.#flags[from] as number) & SHUT) !== 0) this.finish(from >> 1);
    else if (this.#engineOf(to).shutdownWrite(this.#legs[to] as number) < 0) this.abort(from >> 1);
    return false;
  }

  /** The whole array counts until it has been sent: so long it takes up memory. */
  #hold(from: number, bytes: Uint8Array): void {
    this.#flags[from] = (this.#flags[from] as number) | HELD;
    this.#pending.set(from, bytes);
    this.#countPending(bytes.buffer.byteLength);
  }

  #forget(from: number): void {
    const bytes = this.#pending.get(from);
    if (bytes === undefined) return;
    this.#flags[from] = (this.#flags[from] as number) & ~HELD;
    this.#pending.delete(from);
    this.#countPending(-bytes.buffer.byteLength);
    const lent = this.#lent.get(from);
    if (lent === undefined) return;
    this.#lent.delete(from);
    this.#spareBuffers.push(lent);
  }

  #countPending(change: number): void {
    this.#pendingBytes += change;
    this.#options.counters.add("pendingBytes", change);
  }
}
