/**
 * What the host's kernel does for the gateway's Multipath TCP connections while it runs: holds each one to the limit of
 * subflows, and tells each one of the addresses to announce. The limit that was there comes back at the end.
 *
 * The kernel has no limit on the subflows of all connections. So they are counted from time to time, and while there are
 * too many no connection may have a further one: what comes between two looks is beyond the limit. One that begins in
 * such a time gets none later either: Linux decides at its beginning whether it may have any.
 */
import { takeEachStep } from "@hybrid-access/core/base/each-step";
import { describeError } from "@hybrid-access/core/base/error";
import type { Endpoint } from "@hybrid-access/core/base/ip-address";
import type { AcceptedPaths } from "@hybrid-access/core/engine/engine";
import type { Logger } from "@hybrid-access/core/services/log";

/** Joins are taken again when no more than this share of the total is open. */
export const ROOM_SHARE = 0.9;

/** Initial subflows count, and cannot be refused. */
export interface SubflowCaps {
  /** Of one connection. */
  readonly perConnection: number;
  /** Of all connections. */
  readonly total: number;
}

export class SubflowHost {
  readonly #paths: AcceptedPaths;
  readonly #log: Logger;
  readonly #formerLimit: number;
  readonly #announced: Endpoint[] = [];
  #caps: SubflowCaps | undefined;
  /** What the kernel was told last. */
  #further: number | undefined;
  /** At the last look. */
  #open = 0;
  #isFull = false;
  #failed = false;

  constructor(paths: AcceptedPaths, log: Logger) {
    this.#paths = paths;
    this.#log = log;
    this.#formerLimit = paths.furtherSubflows;
  }

  /** There were too many subflows at the last look: joins are refused. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** For joins from now on. Throws a SystemError. */
  limit(caps: SubflowCaps): void {
    this.#caps = caps;
    this.#apply(this.#open);
  }

  /** So many subflows are open now, of all connections. */
  count(subflows: number): void {
    this.#open = subflows;
    try {
      this.#apply(subflows);
      this.#failed = false;
    } catch (error) {
      // One line for a failure that repeats itself; the next count tries again.
      if (!this.#failed) this.#log.error({ error, detail: describeError(error) }, "subflows cannot be limited");
      this.#failed = true;
    }
  }

  #apply(subflows: number): void {
    if (this.#caps === undefined) return;
    const { perConnection, total } = this.#caps;
    const wasFull = this.#isFull;
    this.#isFull = wasFull ? subflows > ROOM_SHARE * total : subflows >= total;
    if (this.#isFull && !wasFull) this.#log.warn({ subflows, total }, "too many subflows, no further ones are taken");
    if (!this.#isFull && wasFull) this.#log.info({ subflows, total }, "subflows are taken again");
    const further = this.#isFull ? 0 : perConnection - 1;
    if (further !== this.#further) this.#paths.furtherSubflows = further;
    this.#further = further;
  }

  /** Throws a SystemError, such as EADDRNOTAVAIL for a port of an address that is not this host's. */
  announce(ends: readonly Endpoint[]): void {
    for (const end of ends) {
      this.#paths.announce(end);
      this.#announced.push(end);
    }
  }

  /** What could be undone is, when it rejects; errors behind the first go to `onLater`. */
  async close(onLater: (error: unknown) => void): Promise<void> {
    const undo = this.#announced.map((end) => () => this.#paths.withdraw(end));
    const unlimit = () => {
      this.#paths.furtherSubflows = this.#formerLimit;
    };
    await takeEachStep([...undo, unlimit, () => this.#paths.close()], onLater);
  }
}
