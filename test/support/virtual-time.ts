/**
 * Time that a test moves on: stands in for setTimeout, setInterval and performance.now of this thread until
 * {@link VirtualTime.end}. Sockets, and what Node times itself, keep the real time.
 */
import { MinHeap } from "@hybrid-access/core/base/min-heap";

interface Timer {
  readonly call: () => void;
  /** Of an interval. */
  readonly everyMs: number | undefined;
  isSet: boolean;
  ref(): Timer;
  unref(): Timer;
}

const real = { setTimeout, clearTimeout, setInterval, clearInterval };
const realNow = performance.now;

export class VirtualTime {
  nowMs = 1000;
  readonly #timers = new MinHeap<Timer>();

  constructor() {
    const set = (call: (...parts: unknown[]) => void, delayMs = 0, ...parts: unknown[]) =>
      this.#set(() => call(...parts), delayMs, undefined);
    const repeat = (call: (...parts: unknown[]) => void, everyMs = 0, ...parts: unknown[]) =>
      this.#set(() => call(...parts), everyMs, everyMs);
    const clear = (timer: Timer | undefined) => {
      if (timer !== undefined) timer.isSet = false;
    };
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear, setInterval: repeat, clearInterval: clear });
    performance.now = () => this.nowMs;
  }

  /** Gives the real time back. */
  end(): void {
    Object.assign(globalThis, real);
    performance.now = realNow;
  }

  #set(call: () => void, delayMs: number, everyMs: number | undefined): Timer {
    const timer: Timer = { call, everyMs, isSet: true, ref: () => timer, unref: () => timer };
    this.#timers.push(this.nowMs + Math.max(1, delayMs), timer);
    return timer;
  }

  /** Lets time pass: every timer at its moment, then what promises make of it. */
  async pass(durationMs: number): Promise<void> {
    const endMs = this.nowMs + durationMs;
    await settled();
    for (let next = this.#timers.nextKey; next !== undefined && next <= endMs; next = this.#timers.nextKey) {
      this.nowMs = Math.max(this.nowMs, next);
      const timer = this.#timers.pop();
      if (timer?.isSet !== true) continue;
      if (timer.everyMs !== undefined) this.#timers.push(next + timer.everyMs, timer);
      timer.call();
      await settled();
    }
    this.nowMs = Math.max(this.nowMs, endMs);
  }
}

/** When no promise has anything left to do. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
