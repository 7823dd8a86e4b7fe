/**
 * The relay: pairs of legs, and the bytes between them. Each pair has a slot; its two ends are `2 * slot` (near: the
 * leg that was accepted) and `2 * slot + 1` (far: the leg that was opened for it). The other end of `end` is `end ^ 1`.
 *
 * Rules that every change must keep:
 * - A byte is read only when the other end can take it, so an idle connection owns no buffer. What a short write leaves
 *   is kept, once: from then on, until the receiver takes all there is again, only what it takes is removed from the
 *   sender's socket (peek, write, discard). So a slow receiver owns at most one buffer, or one pipe where bulk data goes
 *   through pipes, and none when all receivers together hold `pendingLimitBytes`.
 * - The end of a stream is passed on (half-close) after its last byte; the legs are closed when both streams ended.
 * - An error at either end resets both: nothing cut short may look complete.
 * - Events are edges: an end is remembered as readable or writable until a call said "would block".
 */
import { type Engine, type Leg, READY, WOULD_BLOCK } from "../engine/engine.ts";
import type { Counters } from "./counters.ts";
import { HeldBytes } from "./held-bytes.ts";
import { NO_PIPE, PipePool, type PipeUse } from "./pipe-pool.ts";
import { END, FAR, NEAR, NO_LEG, RelayEnds, type Side } from "./relay-end.ts";
import { TimerWheel } from "./timer-wheel.ts";

export { FAR, NEAR, type Side } from "./relay-end.ts";

/** What a read tells more about. */
const READ_TELLS = READY.read | READY.urgent | READY.peerClosed | READY.hangUp | READY.error;

/** A connection without a byte is looked at after so long, and each time after twice as long. */
const LOOK_MS = 500;

/** A read that fills so much of the buffer tells of bulk data, and a pipe that gets less than half as much, of its end. */
const BULK_SHARE = 1 / 4;

/** Reads from one end before others get their turn. */
export const READS_PER_TURN = 8;

export interface RelayOptions {
  /** Engines of the near and of the far legs. */
  readonly engines: readonly [Engine, Engine];
  /** Slots. */
  readonly capacity: number;
  /** Size of a buffer, and of a pipe. */
  readonly bufferBytes: number;
  /** Without it, all is copied. */
  readonly pipes?: PipeUse;
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
  readonly #ends: RelayEnds;
  readonly #held: HeldBytes;
  readonly #pipes: PipePool;
  readonly #relaying: Uint8Array;
  readonly #activeAtMs: Float64Array;
  readonly #freeSlots: number[] = [];
  readonly #closedSlots: number[] = [];
  readonly #timers: TimerWheel;
  #runQueue: number[] = [];
  #nextQueue: number[] = [];
  #nowMs = 0;
  readonly #expired = (slot: number) => this.#onTimer(slot);

  constructor(options: RelayOptions) {
    const { capacity, engines, bufferBytes, pendingLimitBytes, counters, pipes } = options;
    this.#options = options;
    this.#ends = new RelayEnds(engines, 2 * capacity);
    this.#held = new HeldBytes({ bufferBytes, limitBytes: pendingLimitBytes, counters });
    this.#pipes = new PipePool(engines[NEAR], bufferBytes, engines[NEAR] === engines[FAR] ? pipes : undefined);
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
    this.#ends.attach(2 * slot, near, END.writable);
    return slot;
  }

  /** Gives the slot its far leg, in place of an earlier one, which is reset. */
  setFar(slot: number, far: Leg): void {
    this.dropFar(slot);
    this.#ends.attach(2 * slot + 1, far, END.tellsWritable);
  }

  /** Resets the far leg, if there is one. */
  dropFar(slot: number): void {
    const end = 2 * slot + 1;
    const leg = this.#ends.leg(end);
    if (leg !== NO_LEG) this.#ends.engine(end).reset(leg);
    this.#clear(end);
  }

  #clear(end: number): void {
    this.#forget(end);
    this.#ends.detach(end);
  }

  /**
   * Whether this side tells when it can be written to. A far leg does from the start, since that tells that it is
   * connected, and any leg that did not take all there was. A Multipath TCP socket tells so with nearly every
   * acknowledgement, so whoever connects does well to end it then.
   */
  tellWritable(slot: number, side: Side, tells: boolean): void {
    this.#ends.tellWritable(2 * slot + side, tells);
  }

  /** The leg at one side of a slot; -1 when it has none. */
  leg(slot: number, side: Side): Leg {
    return this.#ends.leg(2 * slot + side);
  }

  /** Whether an edge has told of something to read at this side, and nothing that was read since says that it is gone. */
  isReadable(slot: number, side: Side): boolean {
    return this.#ends.is(2 * slot + side, END.readable);
  }

  /** {@link Engine.read} for whoever opens the slot: so the relay knows at its start what there is left to read. */
  read(slot: number, side: Side, into: Uint8Array, length: number): number {
    return this.#ends.read(2 * slot + side, into, length);
  }

  /**
   * {@link Engine.write} for whoever opens the slot: the side tells when it takes more. An error is said once, so after one
   * the side still counts as writable: what is preloaded for it fails again, before its end could be taken for a good one.
   */
  write(slot: number, side: Side, bytes: Uint8Array): number {
    const end = 2 * slot + side;
    const taken = this.#ends.engine(end).write(this.#ends.leg(end), bytes, bytes.length);
    if (taken === WOULD_BLOCK || (taken >= 0 && taken < bytes.length)) this.#ends.notTaken(end);
    return taken;
  }

  /** Bytes that came from `side` and go first to the other one: call before {@link start}. The array is kept. */
  preload(slot: number, side: Side, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#held.hold(2 * slot + side, bytes);
    this.#ends.set(2 * slot + side, END.held);
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

  #release(slot: number, release: (engine: Engine, leg: Leg) => void): void {
    for (const side of [NEAR, FAR] as const) {
      const end = 2 * slot + side;
      const leg = this.#ends.leg(end);
      if (leg !== NO_LEG) release(this.#ends.engine(end), leg);
      this.#clear(end);
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
    if (this.#ends.leg(end) === NO_LEG) return true;
    const relaying = this.#relaying[end >> 1] !== 0;
    if (relaying && (bits & READY.error) !== 0) {
      this.abort(end >> 1);
      return true;
    }
    // Remembered before the start too: an edge comes only once.
    this.#ends.set(end, toldBy(bits));
    if (!relaying) return false;
    if (this.#ends.is(end, END.readable)) this.#turn(end);
    if ((bits & READY.write) !== 0 && this.#ends.leg(end) !== NO_LEG) this.#turn(end ^ 1);
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
      this.#ends.unset(end, END.queued);
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
    const halfClosed = this.#ends.is(2 * slot, END.ended) || this.#ends.is(2 * slot + 1, END.ended);
    const allowedMs = halfClosed ? this.#options.halfClosedMs : this.#options.idleMs;
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
      if (this.#ends.leg(end) === NO_LEG) return;
      this.#ends.set(end, END.readable);
      this.#turn(end);
    }
  }

  #enqueue(end: number): void {
    if (this.#ends.is(end, END.queued)) return;
    this.#ends.set(end, END.queued);
    this.#runQueue.push(end);
  }

  /** Moves what `from` has to the other end, as far as both go, and no longer than its share of the worker. */
  #turn(from: number): void {
    if (this.#ends.is(from, END.queued)) return;
    for (let reads = 0; reads < READS_PER_TURN; reads++) {
      if (!this.#flush(from) || !this.#move(from)) return;
    }
    this.#enqueue(from);
  }

  /** Writes what is held. True when nothing is left, and more may be read. */
  #flush(from: number): boolean {
    if (!this.#ends.is(from, END.held | END.piped)) return true;
    if (this.#ends.is(from, END.piped)) return this.#drain(from);
    const bytes = this.#held.get(from);
    const taken = this.#write(from ^ 1, bytes, bytes.length);
    if (taken < 0) return false;
    if (taken === bytes.length) {
      this.#forget(from);
      return true;
    }
    this.#held.keep(from, bytes.subarray(taken));
    return false;
  }

  /** One read and one write. True when there may be more. */
  #move(from: number): boolean {
    const flags = this.#ends.flags(from);
    if ((flags & END.ended) !== 0) return this.#passEnd(from);
    if ((flags & END.readable) === 0 || !this.#ends.is(from ^ 1, END.writable)) return false;
    if (this.#held.isFull) return this.#moveTaken(from);
    // A pipe would stop at urgent data, and could not tell it from the end.
    if ((flags & (END.bulk | END.unsure)) === END.bulk) return this.#movePiped(from);
    return (flags & END.outpacing) !== 0 ? this.#moveTaken(from) : this.#moveRead(from);
  }

  /** Reads, then writes, and holds what is left. */
  #moveRead(from: number): boolean {
    const { buffer } = this.#held;
    const length = this.#ends.read(from, buffer, buffer.length);
    if (length <= 0) return this.#onNothing(from, length);
    this.#countRead(from, length);
    const isLast = this.#ends.is(from, END.ended);
    if (isLast) this.#noteEnd(from);
    else if (length >= buffer.length * BULK_SHARE && this.#pipes.isFor(from)) this.#ends.set(from, END.bulk);
    const taken = this.#write(from ^ 1, buffer, length, isLast);
    if (taken === length) return true;
    if (this.#ends.leg(from) === NO_LEG) return false;
    this.#ends.set(from, END.outpacing | END.held);
    this.#held.holdBuffer(from, Math.max(0, taken), length);
    return false;
  }

  /** Takes a stretch into a pipe, and gives it on from there. */
  #movePiped(from: number): boolean {
    const length = this.#pipes.fill(from, this.#ends.leg(from));
    const isBulk = length === WOULD_BLOCK || length >= (this.#options.bufferBytes * BULK_SHARE) / 2;
    if (!isBulk) this.#ends.unset(from, END.bulk);
    // A read tells whether the stream has ended, and goes on where there is no pipe.
    if (length === 0 || length === NO_PIPE) return true;
    if (length < 0) return this.#onNothing(from, length);
    this.#countRead(from, length);
    this.#ends.set(from, END.piped);
    this.#held.count(this.#options.bufferBytes);
    return this.#drain(from);
  }

  /** Gives on what is in the pipe. True when nothing is left. */
  #drain(from: number): boolean {
    const to = from ^ 1;
    if (!this.#ends.is(to, END.writable)) return false;
    const taken = this.#pipes.drain(from, this.#ends.leg(to));
    if (taken > 0) this.#activeAtMs[to >> 1] = this.#nowMs;
    if (this.#pipes.isDrained(from)) {
      this.#forget(from);
      return true;
    }
    this.#onNotAll(to, taken);
    return false;
  }

  /** Writes what is there, then takes away only what was written: costs one call more, and no memory. */
  #moveTaken(from: number): boolean {
    const engine = this.#ends.engine(from);
    const leg = this.#ends.leg(from);
    const { buffer } = this.#held;
    const length = engine.peek(leg, buffer, buffer.length);
    if (length <= 0) return this.#onNothing(from, length);
    const taken = this.#write(from ^ 1, buffer, length);
    if (taken <= 0) return false;
    if (engine.discard(leg, taken) !== taken) {
      this.abort(from >> 1);
      return false;
    }
    this.#countRead(from, taken);
    if (taken < length) return false;
    this.#ends.unset(from, END.outpacing);
    return true;
  }

  /** A read gave the end of the stream (0), nothing for now, or an error. True when there is something to do. */
  #onNothing(from: number, result: number): boolean {
    if (result === 0) {
      this.#ends.set(from, END.ended);
      this.#noteEnd(from);
      return true;
    }
    if (result === WOULD_BLOCK) this.#ends.emptied(from);
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
    if (!this.#ends.is(to, END.writable)) return -1;
    const taken = this.#ends.engine(to).write(this.#ends.leg(to), bytes, length, isLast);
    if (taken > 0) this.#activeAtMs[to >> 1] = this.#nowMs;
    if (taken === length) return taken;
    this.#onNotAll(to, taken);
    return taken < 0 ? -1 : taken;
  }

  /** A write has failed, or has taken less than there was. */
  #onNotAll(to: number, taken: number): void {
    if (taken < 0 && taken !== WOULD_BLOCK) this.abort(to >> 1);
    else this.#ends.notTaken(to);
  }

  /** The stream of `from` has ended and was forwarded whole: half-close the other end, or close both. */
  #passEnd(from: number): boolean {
    const to = from ^ 1;
    if (this.#ends.is(to, END.shut)) return false;
    this.#ends.set(to, END.shut);
    // Closing ends the last stream as well.
    if (this.#ends.is(from, END.shut)) this.finish(from >> 1);
    else if (this.#ends.engine(to).shutdownWrite(this.#ends.leg(to)) < 0) this.abort(from >> 1);
    return false;
  }

  /** Nothing from this end is held any more. */
  #forget(from: number): void {
    if (!this.#ends.is(from, END.held | END.piped)) return;
    if (this.#ends.is(from, END.held)) this.#held.forget(from);
    else {
      this.#pipes.drop(from);
      this.#held.count(-this.#options.bufferBytes);
    }
    this.#ends.unset(from, END.held | END.piped);
  }
}

/** What readiness tells of an end. */
function toldBy(bits: number): number {
  let told = 0;
  if ((bits & READ_TELLS) !== 0) told |= END.readable;
  if ((bits & (READY.urgent | READY.hangUp | READY.error)) !== 0) told |= END.unsure;
  else if ((bits & READY.peerClosed) !== 0) told |= END.ending;
  if ((bits & READY.write) !== 0) told |= END.writable;
  return told;
}
