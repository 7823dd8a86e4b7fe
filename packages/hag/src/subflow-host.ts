/**
 * What the host's kernel does for the gateway's Multipath TCP connections while it runs: holds each one to the limit of
 * subflows, and tells each one of the addresses to announce. The limit that was there comes back at the end.
 */
import { takeEachStep } from "@hybrid-access/core/base/each-step";
import type { Endpoint } from "@hybrid-access/core/base/ip-address";
import type { AcceptedPaths } from "@hybrid-access/core/engine/engine";

export class SubflowHost {
  readonly #paths: AcceptedPaths;
  readonly #formerLimit: number;
  readonly #announced: Endpoint[] = [];

  constructor(paths: AcceptedPaths) {
    this.#paths = paths;
    this.#formerLimit = paths.furtherSubflows;
  }

  /** `subflows`: of one connection, the initial one included. For joins from now on. Throws a SystemError. */
  limit(subflows: number): void {
    this.#paths.furtherSubflows = subflows - 1;
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
