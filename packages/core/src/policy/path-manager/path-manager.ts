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

/** Why something is done; in the log beside the command. */
export type PathReason =
  /** The policy wants it so. */
  | "policy"
  /** The cheaper uplinks are full. */
  | "load"
  /** The uplink is degraded and gives way to a better one. */
  | "quality"
  /** The uplink has used its quota up and gives way to another one. */
  | "quota"
  /** The subflow's address is gone. */
  | "uplink gone"
  /** The subflow made no progress while others did. */
  | "stall"
  /** The connection was held to one subflow until now. */
  | "hold"
  /** A limit: room is made, or there is room again. */
  | "limit"
  /** A subflow was lost, or could not be opened before. */
  | "repair"
  /** The subflow was backup while it settled. */
  | "settled"
  /** It was said before, and may have been lost. */
  | "again";

export type PathDecision = PathCommand & { readonly reason: PathReason };

/** Subflows that the policy wants are not opened: decided once for as long as it holds. */
export interface Withheld {
  readonly token: number;
  readonly reason: "hold" | "limit";
}

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

/** How much of an uplink is in use, over the time since its last sample. */
export interface UplinkSample {
  readonly uplink: string;
  readonly downBitsPerSecond: number;
  readonly upBitsPerSecond: number;
}

/** What a policy looks at: one connection that this host opened. */
export interface ConnectionView {
  /** The ends of the initial subflow. */
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** The peer set the C flag: no further subflows to the initial address and port. */
  readonly denyJoinInitial: boolean;
  /** What the peer has announced and not removed, by its address identifier. Without a port: the initial one. */
  readonly announced: readonly Endpoint[];
  /** The port that further subflows go to where the peer announces it; the initial one when left out. */
  readonly joinPort: number | undefined;
  /** Open subflows. */
  readonly subflows: readonly (SubflowPath & { readonly backup: boolean })[];
}

/** What a policy decides by, besides the connection. */
export interface PolicyContext {
  /** Usable uplink addresses, the preferred one first: by their standing (uplink-preference.ts), then by their cost. */
  readonly uplinks: readonly UplinkAddress[];
  /** Whether these uplinks together have no room left, as far as is known. */
  isFull(uplinks: ReadonlySet<string>): boolean;
}

/** Subflows that a policy wants between one pair of addresses. */
export interface WantedSubflow {
  readonly local: UplinkAddress;
  readonly remote: Endpoint;
  readonly backup: boolean;
  /** How many; 1 when left out. */
  readonly count?: number;
  /** "policy" when left out. */
  readonly reason?: PathReason;
}

/**
 * A policy on subflows, the part that is a matter of taste: which subflows a connection should have now. Pure; asked
 * again after every event. The first ones matter most: limits cut the list at its end. What it takes to get there
 * (commands, repair, limits) is the reconciler's, as is that a degraded or used-up uplink is only backup of better ones.
 */
export interface SubflowPolicy {
  readonly name: string;
  wanted(connection: ConnectionView, context: PolicyContext): readonly WantedSubflow[];
}

/** What drives subflows. Every method returns what is to be done now. */
export interface PathManager {
  onEvent(event: PathEvent, nowMs: number): PathDecision[];
  /** The usable uplink addresses are now these. */
  onUplinks(addresses: readonly UplinkAddress[], nowMs: number): PathDecision[];
  /** What the uplinks have carried lately. */
  onSamples(samples: readonly UplinkSample[], nowMs: number): PathDecision[];
  /** The engine refused a command. */
  onRefused(command: PathCommand, nowMs: number): void;
  /** Time has passed; to be called when {@link nextTimerMs} says so. */
  onTimer(nowMs: number): PathDecision[];
  /** When {@link onTimer} has something to do, or undefined. */
  readonly nextTimerMs: number | undefined;
}
