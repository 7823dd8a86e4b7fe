/** A connection as its host keeps it: Multipath TCP or plain TCP, and what joins and timers have to find. */

import { equalBytes } from "../../base/bytes.ts";
import { type Endpoint, equalEndpoints, type IpAddress } from "../../base/ip-address.ts";
import type { MptcpConnection } from "../mptcp/connection.ts";
import type { HostListener } from "./listener.ts";

export interface HostConnectionOptions {
  readonly mptcp: MptcpConnection;
  /** The ends of the first subflow. */
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Who has accepted it, where it was not opened here. */
  readonly listener?: HostListener;
  /** It was to be Multipath TCP. */
  readonly wantsMultipath: boolean;
}

export class HostConnection {
  readonly mptcp: MptcpConnection;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly listener: HostListener | undefined;
  readonly wantsMultipath: boolean;
  /** When its timer stands in the host's heap. */
  armedMs: number | undefined;
  /** Addresses of ours that the peer was told, by identifier; of those without a port 0 stands for the first subflow's. */
  readonly announced = new Map<number, Endpoint>();

  constructor({ mptcp, local, remote, listener, wantsMultipath }: HostConnectionOptions) {
    this.mptcp = mptcp;
    this.local = local;
    this.remote = remote;
    this.listener = listener;
    this.wantsMultipath = wantsMultipath;
  }

  /** Whether the peer may open subflows to this end of ours: the first subflow's port, or what was announced. */
  takesJoinsAt(end: Endpoint): boolean {
    if (end.port === this.local.port) return true;
    return Array.from(this.announced.values()).some((one) => equalEndpoints(one, end));
  }

  /** What we call this address of ours; 0 where it was not announced. */
  idOfOwn(address: IpAddress): number {
    for (const [id, end] of this.announced) if (equalBytes(end.address, address)) return id;
    return 0;
  }

  /** What the peer calls this address of its own; 0 where it has not announced it. */
  idOfPeer(address: IpAddress): number {
    for (const [id, one] of this.mptcp.parts.addresses.peerAddresses) if (equalBytes(one.address, address)) return id;
    return 0;
  }
}
