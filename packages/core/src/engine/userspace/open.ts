/** Puts a userspace engine together: uplinks, transport, legs, reactor, path control. */
import type { IpAddress } from "../../base/ip-address.ts";
import type { Epoll } from "../../platform/epoll.ts";
import { PLATFORM_HASHES } from "../../platform/hashes.ts";
import { secureRandomBytes } from "../../platform/random.ts";
import { StackHost } from "../../stack/host.ts";
import type { TokenShare } from "../../stack/host-options.ts";
import { DEFAULT_MPTCP_SETTINGS, type MptcpSettings } from "../../stack/mptcp/settings.ts";
import { HOST_BOUNDS } from "./host-bounds.ts";
import { PacketDriver } from "./packet-driver.ts";
import { UserspacePathControl } from "./path-control.ts";
import { UserspaceReactor } from "./reactor.ts";
import type { Uplink } from "./uplink.ts";
import { UserspaceEngine } from "./userspace-engine.ts";

export interface UserspaceOptions {
  /** The engine's from now on. The first one with an address of the right family is what connections leave by. */
  readonly uplinks: readonly Uplink[];
  /** The one of them that packets from and to all other addresses take; without it no leg is transparent. */
  readonly foreign?: Uplink;
  readonly settings?: MptcpSettings;
  /** Where several engines have the same addresses. */
  readonly share?: TokenShare;
}

export interface Userspace {
  readonly engine: UserspaceEngine;
  readonly paths: UserspacePathControl;
  /** To be waited with in place of the epoll. */
  readonly reactor: UserspaceReactor;
  /** The engine's transport. */
  readonly host: StackHost;
  /** Closes the uplinks. Connections that are open end without a word. */
  close(): void;
}

/** Its packets are waited for with `epoll`. Throws a SystemError where an uplink cannot be watched. */
export function openUserspace(
  { uplinks, foreign, settings = DEFAULT_MPTCP_SETTINGS, share }: UserspaceOptions,
  epoll: Epoll,
): Userspace {
  const ports = { hashes: PLATFORM_HASHES, randomBytes: secureRandomBytes };
  const isOwn = (address: IpAddress) => driver.isOwn(address);
  const host = new StackHost({ settings, ports, ...HOST_BOUNDS, ...(share && { share }), ...(foreign && { isOwn }) });
  const driver: PacketDriver = new PacketDriver(host, uplinks, foreign);
  const engine = new UserspaceEngine(driver);
  return {
    engine,
    paths: new UserspacePathControl(driver, engine),
    reactor: new UserspaceReactor(epoll, driver, engine),
    host,
    close() {
      for (const uplink of uplinks) uplink.close();
    },
  };
}
