/**
 * What a path manager sees and says: the vocabulary of Linux's `mptcp_pm` netlink family and of mptcpd. A path manager
 * is pure: events, uplinks and time in, commands out. Engines carry them out and know nothing of policy.
 */
import type { Endpoint, IpAddress } from "../../base/ip-address.ts";

/** The addresses of a subflow, with the address identifiers that both hosts gave them (0: the initial subflow's). */
export interface SubflowPath {
  readonly localId: number;
  readonly remoteId: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
}

/** What happened to a connection. `token` is the local one (RFC 8684 section 3.1), which names it on this host. */
export type PathEvent =
  | ({ readonly type: "connectionCreated" | "connectionEstablished"; readonly token: number } & SubflowPath & {
        /** This host accepted the connection. */
        readonly serverSide: boolean;
        /** The peer set the C flag: no subflows to the address and port of the initial one. */
        readonly denyJoinInitial: boolean;
      })
  | { readonly type: "connectionClosed"; readonly token: number }
  | { readonly type: "addressAnnounced"; readonly token: number; readonly remoteId: number; readonly remote: Endpoint }
  | { readonly type: "addressRemoved"; readonly token: number; readonly remoteId: number }
  | ({ readonly type: "subflowEstablished"; readonly token: number; readonly backup: boolean } & SubflowPath)
  | ({
      readonly type: "subflowClosed";
      readonly token: number;
      /** errno of its end; 0 for an ordinary one. */
      readonly error: number;
      /** The peer's MP_TCPRST reason, if it gave one. */
      readonly resetReason: number | undefined;
    } & SubflowPath)
  | ({ readonly type: "subflowPriority"; readonly token: number; readonly backup: boolean } & SubflowPath);

/** What an engine is to do. A command that fails is answered by an event, or was too late to matter. */
export type PathCommand =
  | {
      readonly type: "createSubflow";
      readonly token: number;
      readonly localId: number;
      readonly local: IpAddress;
      readonly interfaceIndex: number;
      readonly remote: Endpoint;
      /** The MP_JOIN asks for backup at once (B bit, RFC 8684 section 3.2). */
      readonly backup: boolean;
    }
  | ({ readonly type: "destroySubflow"; readonly token: number } & Omit<SubflowPath, "remoteId">)
  | ({ readonly type: "setPriority"; readonly token: number; readonly backup: boolean } & Omit<SubflowPath, "remoteId">)
  | { readonly type: "announce"; readonly token: number; readonly localId: number; readonly local: Endpoint }
  | { readonly type: "remove"; readonly token: number; readonly localId: number };

/** One address of one uplink that can carry packets now. */
export interface UplinkAddress {
  readonly uplink: string;
  /** Lower is preferred. */
  readonly cost: number;
  readonly address: IpAddress;
  /** 1 to 255, the same for as long as the address is there. */
  readonly localId: number;
  readonly interfaceIndex: number;
  /** What connections over the uplink see of it; "good" when left out. See uplink-preference.ts. */
  readonly quality?: "good" | "degraded";
  /** It has carried what it may (`uplinks[].quota`), and goes on only where nothing else does. */
  readonly quotaUsed?: boolean;
}

/** A policy on subflows. Every method returns what is to be done now. */
export interface PathManager {
  onEvent(event: PathEvent, nowMs: number): PathCommand[];
  /** The usable uplink addresses are now these. */
  onUplinks(addresses: readonly UplinkAddress[], nowMs: number): PathCommand[];
  /** Time has passed; to be called when {@link nextTimerMs} says so. */
  onTimer(nowMs: number): PathCommand[];
  /** When {@link onTimer} has something to do, or undefined. */
  readonly nextTimerMs: number | undefined;
}
