/** Short connections as test and soak carry them: up to 2 kB up, mostly little down, a fifth aborted by its client anywhere. */
import type { Random } from "@hybrid-access/core/base/random";
import type { Exchange } from "./load.ts";

export const ABORTED_SHARE = 0.2;

export function shortConnections(random: Random, count: number): Exchange[] {
  return Array.from({ length: count }, () => {
    const upBytes = Math.floor(random.next() * 2000);
    const downBytes = Math.floor(random.next() ** 4 * 100_000);
    const aborted = random.next() < ABORTED_SHARE;
    return { upBytes, downBytes, ...(aborted && { abortAfterBytes: random.next() * (upBytes + downBytes) }) };
  });
}
