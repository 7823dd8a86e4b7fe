/** What can be chosen for a Multipath TCP connection. */
import type { SchedulerAlgorithm } from "../../policy/scheduler/scheduler.ts";
import { DEFAULT_SCHEDULER } from "../../policy/scheduler/schedulers.ts";
import { OWN_SEGMENT_SIZE, type SegmentSizeRule } from "../../policy/segment-size/segment-size.ts";
import type { MptcpVersion } from "../../wire/mptcp/keys.ts";
import { DEFAULT_TCP_SETTINGS, type TcpSettings } from "../tcp/settings.ts";

export interface MptcpSettings {
  /** Those of every subflow. The buffers are the connection's: its subflows share them. */
  readonly tcp: TcpSettings;
  readonly version: MptcpVersion;
  /** Whether to ask for checksums over data (RFC 8684 section 3.3.1). */
  readonly checksum: boolean;
  /** Tells the peer not to open subflows to this address and port (flag C, RFC 8684 section 3.1). */
  readonly refuseJoins: boolean;
  /** Data sequence numbers of 8 bytes; those of 4 wrap within two minutes above 286 Mbit/s (RFC 8684 section 3.3.1). */
  readonly longDataNumbers: boolean;
  /** Subflows of a connection, those being opened included. */
  readonly mostSubflows: number;
  /** How long a connection lives without a subflow that works. */
  readonly emptyMs: number;
  /** The same, where the peer has reset the last one and not said why: most likely it knows nothing of the connection any more. */
  readonly resetEmptyMs: number;
  /**
   * How long the side that ends second waits for the other to close its subflows first, so that it has no TIME-WAIT
   * (RFC 8041 section 3.6).
   */
  readonly lateCloseMs: number;
  readonly scheduler: SchedulerAlgorithm;
  /** What a fast subflow does where a slow one holds up the window: policy/blocked-window.ts. */
  readonly opportunisticRetransmission: boolean;
  readonly penalization: boolean;
  /** Whether a subflow that only repeats what the peer has is reset (policy/subflow-recycling.ts). */
  readonly recycling: boolean;
  readonly segmentSize: SegmentSizeRule;
}

export const DEFAULT_MPTCP_SETTINGS: MptcpSettings = {
  tcp: DEFAULT_TCP_SETTINGS,
  version: 1,
  checksum: false,
  refuseJoins: false,
  longDataNumbers: true,
  mostSubflows: 8,
  emptyMs: 60_000,
  resetEmptyMs: 5000,
  lateCloseMs: 2000,
  scheduler: DEFAULT_SCHEDULER,
  opportunisticRetransmission: true,
  penalization: true,
  recycling: false,
  segmentSize: OWN_SEGMENT_SIZE,
};
