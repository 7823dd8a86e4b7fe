/** What V8 is told about the heaps of this process, so that they keep their size under a steady load. */
import { setFlagsFromString } from "node:v8";

/**
 * How much the old generation may grow by from one full collection to the next, in percent. V8 itself allows up to four
 * times of what is alive, which a daemon in which thousands of connections come and go reaches: tens of megabytes that go up
 * and down. A collection takes some milliseconds, most of it on other threads.
 */
const GROWTH_PERCENT = 30;

/** One half of a worker's young generation, in MB; a third of what V8 counts as all of it. */
const SEMI_SPACE_MB = 4;

/**
 * The young generation of a worker, in MB. What a worker makes lives for milliseconds and is seldom copied by a collection, so
 * a small one costs it nothing. V8's own limit is 48: it goes there step by step in moments in which much is alive, and keeps
 * the memory.
 */
export const WORKER_YOUNG_GENERATION_MB = 3 * SEMI_SPACE_MB;

/**
 * Keeps the garbage in the heaps of all threads small, gives those that are started later their young generation at
 * once, and lets the main thread's stay as it is. To be called at the start.
 */
export function steadyHeaps(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
  // An old generation then grows by 2 MB at least between two full collections; else by 8, which is as much as the main
  // thread has alive. Set this late, the option has no other effect.
  setFlagsFromString("--optimize-for-size");
  setFlagsFromString(`--min-semi-space-size=${SEMI_SPACE_MB}`);
  setFlagsFromString("--semi-space-growth-factor=1");
}
