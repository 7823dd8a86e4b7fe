/** What can be chosen for a TCP connection. */
import type { CongestionAlgorithm } from "../../policy/congestion/congestion.ts";
import { CUBIC } from "../../policy/congestion/cubic.ts";

export interface TcpSettings {
  /** The largest segment that the path to us carries: its MTU less the IP and TCP headers without options. */
  readonly maximumSegmentBytes: number;
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  readonly timestamps: boolean;
  readonly selectiveAcknowledgements: boolean;
  readonly congestion: CongestionAlgorithm;
  /** The largest payload of one segment that the device below cuts into smaller ones; 0 for a device that cuts nothing. */
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

/** Questions to a silent peer that stay without an answer until the connection is given up, one each {@link KEEPALIVE_INTERVAL_MS}. */
export const MOST_KEEPALIVES = 9;
export const KEEPALIVE_INTERVAL_MS = 75_000;
