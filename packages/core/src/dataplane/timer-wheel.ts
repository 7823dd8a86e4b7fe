/**
 * One deadline per connection slot, for tens of thousands of slots: a hashed wheel of doubly linked lists in typed
 * arrays. Setting, moving and cancelling cost the same whatever the number of timers; precision is one tick.
 */

const TICK_MS = 20;
const BUCKETS = 2048;
const NONE = -1;

export class TimerWheel {
  /** Bucket heads stand behind the slots: list `b` begins at index `capacity + b`. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #dueTick: Float64Array;
  readonly #capacity: number;
  #currentTick = 0;
  #count = 0;
  /** No deadline is due before this tick, and perhaps none at it: cancelling does not look for the next one. */
  #earliestTick = Number.POSITIVE_INFINITY;

  /** Slots are 0 to `capacity - 1`. */
  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#next = new Int32Array(capacity + BUCKETS).fill(NONE);
    this.#previous = new Int32Array(capacity + BUCKETS).fill(NONE);
    this.#dueTick = new Float64Array(capacity);
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      this.#next[capacity + bucket] = capacity + bucket;
      this.#previous[capacity + bucket] = capacity + bucket;
    }
  }

  /** How many deadlines are set. */
  get size(): number {
    return this.#count;
  }

  /** Sets the slot's deadline, in place of an earlier one. It is never early, and late by at most a tick. */
  set(slot: number, deadlineMs: number): void {
    this.cancel(slot);
    const tick = Math.max(this.#currentTick + 1, Math.ceil(deadlineMs / TICK_MS));
    this.#dueTick[slot] = tick;
    if (tick < this.#earliestTick) this.#earliestTick = tick;
    const head = this.#capacity + (tick % BUCKETS);
    const last = this.#previous[head] as number;
    this.#next[last] = slot;
    this.#previous[slot] = last;
    this.#next[slot] = head;
    this.#previous[head] = slot;
    this.#count += 1;
  }

  cancel(slot: number): void {
    const next = this.#next[slot] as number;
    if (next === NONE) return;
    const previous = this.#previous[slot] as number;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#next[slot] = NONE;
    this.#count -= 1;
  }

  /** Calls `onExpired` for every slot whose deadline is at or before `nowMs`; their deadlines are gone by then. */
  expire(nowMs: number, onExpired: (slot: number) => void): void {
    const nowTick = Math.floor(nowMs / TICK_MS);
    // After a long sleep one round over all buckets finds everything that is due.
    const first = Math.max(this.#currentTick + 1, nowTick - BUCKETS + 1);
    this.#currentTick = Math.max(this.#currentTick, nowTick);
    if (nowTick < this.#earliestTick) return;
    for (let tick = first; tick <= nowTick; tick++) this.#expireBucket(tick % BUCKETS, nowTick, onExpired);
    this.#earliestTick = this.#firstOccupiedTick();
  }

  /** The first tick ahead whose bucket is not empty. What it holds may be due a round or more later. */
  #firstOccupiedTick(): number {
    if (this.#count === 0) return Number.POSITIVE_INFINITY;
    for (let tick = this.#currentTick + 1; ; tick++) {
      const head = this.#capacity + (tick % BUCKETS);
      if (this.#next[head] !== head) return tick;
    }
  }

  #expireBucket(bucket: number, nowTick: number, onExpired: (slot: number) => void): void {
    const head = this.#capacity + bucket;
    for (let slot = this.#next[head] as number; slot !== head; ) {
      // Removed before the callback, which may set this slot's timer again, at the list's end and so in the future.
      const next = this.#next[slot] as number;
      if ((this.#dueTick[slot] as number) <= nowTick) {
        this.cancel(slot);
        onExpired(slot);
        // The callback may have cancelled `next`: then start over, what is due and left is still here.
        slot = this.#next[next] === NONE ? (this.#next[head] as number) : next;
      } else {
        slot = next;
      }
    }
  }

  /** Milliseconds from `nowMs` until a deadline may be due, 0 if one is, undefined when none is set. */
  timeoutMs(nowMs: number): number | undefined {
    if (this.#count === 0) return undefined;
    return Math.max(0, Math.ceil(this.#earliestTick * TICK_MS - nowMs));
  }
}
