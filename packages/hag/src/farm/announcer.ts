/**
 * Announcing instead of steering (RFC 8684 section 3.1, the C flag, and section 3.4.1): the farm's address takes no
 * further subflows, and each connection is told its gateway's own address for them.
 */
import { familyOf, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type { PathControl } from "@hybrid-access/core/engine/engine";
import type { PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { OwnedSysctls } from "@hybrid-access/core/services/host/owned-sysctls";

/** 0 is the initial subflow's address. */
const FIRST_ADDRESS_ID = 1;

export interface AnnouncerCounters {
  announced: number;
  /** The kernel refused: the connection was gone, or is not one of the userspace path manager. */
  refused: number;
}

export class Announcer {
  readonly counters: AnnouncerCounters = { announced: 0, refused: 0 };
  readonly #addresses: readonly IpAddress[];
  readonly #paths: PathControl;

  constructor(addresses: readonly IpAddress[], paths: PathControl) {
    this.#addresses = addresses;
    this.#paths = paths;
  }

  /** What the kernel must do beside. Throws an AccessError where it does not know the C flag. */
  static prepareHost(sysctls: OwnedSysctls): void {
    sysctls.set("net.mptcp.pm_type", () => "1");
    sysctls.set("net.mptcp.allow_join_initial_addr_port", () => "0");
  }

  onEvent(event: PathEvent): void {
    if (event.type !== "connectionEstablished" || !event.serverSide) return;
    const { token, remote } = event;
    this.#addresses.forEach((address, index) => {
      if (familyOf(address) !== familyOf(remote.address)) return;
      // Without a port: subflows go to that of the initial one.
      const local = { address, port: 0 };
      const done = this.#paths.execute({ type: "announce", token, localId: FIRST_ADDRESS_ID + index, local });
      this.counters[done ? "announced" : "refused"] += 1;
    });
  }
}
