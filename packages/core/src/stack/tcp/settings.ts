/** What can be chosen for a TCP connection. */
import type { Endpoint } from "../../base/ip-address.ts";
import type { CongestionAlgorithm } from "../../policy/congestion/congestion.ts";
import { CUBIC } from "../../policy/congestion/cubic.ts";
import type { SegmentExtension } from "./extension.ts";

export interface TcpSettings {
  /** The largest segment that the path to us carries: its MTU less the IP and TCP headers without options. */
  readonly maximumSegmentBytes: number;
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  readonly timestamps: boolean;
  readonly selectiveAcknowledgements: boolean;
  readonly congestion: CongestionAlgorithm;
  /**
   * The largest payload of one segment that the device below cuts into smaller ones; 0 for a device that cuts nothing.
   */
  readonly bulkBytes: number;
  /** For how long data may be unacknowledged until the connection is given up (RFC 9293 section 3.8.3, R2). */
  readonly giveUpMs: number;
  /** The same for a SYN. */
  readonly synGiveUpMs: number;
  /** After how long a silence the peer is asked whether it is there; undefined for never. */
  readonly keepaliveMs: number | undefined;
  /** How long the closing side remembers the connection: two maximum segment lifetimes. */
  readonly timeWaitMs: number;
  /** How long a closed connection waits in FIN-WAIT-2 for the peer's end, when nobody reads any more. */
  readonly orphanMs: number;
}

/** What a connection is made of. */
export interface TcpConnectionOptions {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly settings: TcpSettings;
  /** ISS (RFC 6528). */
  readonly initialSequence: number;
  /** What our timestamps show at 0 ms (RFC 7323 section 5.4). */
  readonly timestampOffset: number;
  readonly extension?: SegmentExtension;
}

/** What an active open may bring along. */
export interface OpenOptions {
  /** A Fast Open cookie of the peer, or no bytes to ask for one (RFC 7413). */
  readonly fastOpenCookie?: Uint8Array;
  /** What was written already goes with the SYN. */
  readonly dataInSyn?: boolean;
}

/** What a passive open may bring along. */
export interface AcceptOptions {
  /** The data of the SYN is taken, and data may be sent before the handshake has ended (RFC 7413). */
  readonly takeData?: boolean;
  /** A cookie for the peer's next connection. */
  readonly fastOpenCookie?: Uint8Array;
}

export const DEFAULT_TCP_SETTINGS: TcpSettings = {
  maximumSegmentBytes: 1440,
  receiveBufferBytes: 1024 * 1024,
  sendBufferBytes: 1024 * 1024,
  timestamps: true,
  selectiveAcknowledgements: true,
  congestion: CUBIC,
  bulkBytes: 0,
  giveUpMs: 120_000,
  synGiveUpMs: 180_000,
  keepaliveMs: undefined,
  timeWaitMs: 60_000,
  orphanMs: 60_000,
};
