/** What V8 is told about the heaps of this process. */
import { setFlagsFromString } from "node:v8";

/**
 * How much the old generation may grow by from one full collection to the next, in percent. V8 itself allows up to four
 * times of what is alive, which a daemon in which thousands of connections come and go reaches: tens of megabytes that go up
 * and down. A collection takes some milliseconds, most of it on other threads.
 */
const GROWTH_PERCENT = 30;

/** Keeps the garbage that lies in the heaps of all threads small. V8 reads it at each collection; call it at the start. */
export function limitGarbage(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}
