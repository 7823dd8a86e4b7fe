/**
 * What the host's kernel does for the gateway's Multipath TCP connections while it runs: holds each one to the limit of
 * subflows, and tells each one of the addresses to announce. The limit that was there comes back at the end.
 */
import type { Endpoint } from "@hybrid-access/core/base/ip-address";
import { HostPathManager } from "@hybrid-access/core/engine/kernel/host-path-manager";

export class SubflowHost {
  readonly #manager = new HostPathManager();
  readonly #formerLimit = this.#manager.furtherSubflows;
  readonly #announced: Endpoint[] = [];

  /** `subflows`: of one connection, the initial one included. For joins from now on. Throws a SystemError. */
  limit(subflows: number): void {
    this.#manager.furtherSubflows = subflows - 1;
  }

  /** Throws a SystemError, such as EADDRNOTAVAIL for a port of an address that is not this host's. */
  announce(ends: readonly Endpoint[]): void {
    for (const end of ends) {
      this.#manager.announce(end);
      this.#announced.push(end);
    }
  }

  close(): void {
    for (const end of this.#announced) this.#manager.withdraw(end);
    this.#manager.furtherSubflows = this.#formerLimit;
    this.#manager.close();
  }
}
