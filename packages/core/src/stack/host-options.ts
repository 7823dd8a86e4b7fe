/** What a host's transport is told when it is made, and when it opens a connection. */
import type { IpAddress } from "../base/ip-address.ts";
import type { MptcpSettings } from "./mptcp/settings.ts";
import type { StackPorts } from "./ports.ts";

/** Where a listener takes connections to every port of addresses that are not the host's. */
export const FOREIGN_PORT = 0;

export interface StackHostOptions {
  readonly settings: MptcpSettings;
  readonly ports: StackPorts;
  /** The largest packet that the paths carry. */
  readonly mtuBytes: number;
  /** Connections, those in TIME-WAIT included. */
  readonly mostConnections: number;
  /** Where several hosts' transports have the same addresses: which tokens are this one's. */
  readonly share?: TokenShare;
  /** Which addresses are this host's; all that packets come for, without it. */
  readonly isOwn?: (address: IpAddress) => boolean;
}

/**
 * How transports that share their addresses, one on each thread, tell whose a join is: by its token, since packets of
 * different subflows may come to any of them.
 */
export interface TokenShare {
  owns(token: number): boolean;
  /** Hands a packet with MP_JOIN to the transport that owns its token; false when that takes no more now. */
  pass(token: number, packet: Uint8Array): boolean;
}

/** What an active open may bring along. */
export interface ConnectOptions {
  readonly multipath?: boolean;
  /** Goes with the SYN where the server has given a cookie before, or always. */
  readonly fastOpen?: "cookie" | "always";
  readonly firstBytes?: Uint8Array;
  readonly localAddressId?: number;
  /** The port to leave from; one of the host's choice without it. */
  readonly localPort?: number;
}
