/** What a Multipath TCP connection tells. The words are those of Linux's mptcp_pm netlink family. */
import type { Endpoint, IpAddress } from "../../base/ip-address.ts";
import type { CloseReason } from "../tcp/events.ts";

/** Why a connection is plain TCP (RFC 8684 section 3.7). */
export type FallbackReason =
  /** This side did not ask for anything else. */
  | "notWanted"
  /** The peer's SYN or SYN-ACK did not have MP_CAPABLE, or not of a version that both have. */
  | "handshake"
  /** Our SYNs with MP_CAPABLE were not answered: a path that drops them (RFC 8684 section 3.1). */
  | "synLost"
  /** The first segments after it came without an option: a middlebox removes them. */
  | "optionsRemoved"
  /** A checksum was wrong: a middlebox changes data. */
  | "checksum"
  /** The peer has fallen back, and says so by an infinite mapping or MP_FAIL. */
  | "peer";

/** The subflow an event is about. */
export interface SubflowDescription {
  /** A counter within the connection; 0 is the first subflow. */
  readonly subflow: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly localAddressId: number;
  readonly remoteAddressId: number;
}

export type MptcpEvent =
  /** The application's: see TcpEvent. */
  | { readonly type: "connected" | "readable" | "writable" | "ended" }
  | { readonly type: "closed"; readonly reason: CloseReason }
  /** No further subflow is possible. */
  | { readonly type: "fallback"; readonly reason: FallbackReason }
  | ({ readonly type: "subflowEstablished" } & SubflowDescription)
  /** `resetReason` is that of MP_TCPRST, the peer's or ours, where there was one. */
  | ({
      readonly type: "subflowClosed";
      readonly reason: CloseReason;
      readonly resetReason: number | undefined;
    } & SubflowDescription)
  | ({ readonly type: "subflowPriority"; readonly backup: boolean } & SubflowDescription)
  | {
      readonly type: "addressAnnounced";
      readonly addressId: number;
      readonly address: IpAddress;
      readonly port: number | undefined;
    }
  | { readonly type: "addressRemoved"; readonly addressId: number };
