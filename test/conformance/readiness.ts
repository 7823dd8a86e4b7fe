/** What a host's poller has to tell. */
import type { Poller } from "@hybrid-access/core/platform/epoll";

export const EVENTS_PER_STEP = 64;

/** Waits once, and adds the readiness that has come to that which is there, by tag. */
export function collectReadiness(poller: Poller, timeoutMs: number, ready: Map<number, number>): void {
  const count = poller.wait(timeoutMs);
  for (let index = 0; index < count; index++) {
    const tag = poller.tag(index);
    ready.set(tag, (ready.get(tag) ?? 0) | poller.bits(index));
  }
}
