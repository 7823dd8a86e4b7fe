/**
 * Congestion control: how many bytes a subflow may have in flight. What to send again is another question
 * (policy/recovery). Read RFC 5681 before changing anything here. One algorithm for each file; algorithms.ts has the
 * list.
 */

/** What an acknowledgement says, outside of recovery. */
export interface Acknowledgement {
  readonly nowMs: number;
  /** Bytes newly acknowledged, selectively or not. */
  readonly bytes: number;
  /** Bytes that were in flight before it. */
  readonly inFlightBytes: number;
  /** Positions in the stream: everything before them is acknowledged (SND.UNA), is sent (SND.NXT). */
  readonly acknowledgedTo: number;
  readonly sentTo: number;
  /** The smoothed round-trip time, or undefined before the first measurement. */
  readonly smoothedRttMs: number | undefined;
  /** This acknowledgement's own measurement, or undefined where it gives none. */
  readonly rttMs: number | undefined;
  /** Whether the window was what kept the sender from sending more: where it was not, it must not grow (RFC 7661). */
  readonly windowLimited: boolean;
}

/** One subflow's congestion control. Bytes throughout; the caller's clock. */
export interface CongestionControl {
  /** The congestion window. During recovery the sender sends by proportional rate reduction instead. */
  readonly windowBytes: number;
  /** Below it the window grows as in slow start. */
  readonly slowStartThresholdBytes: number;
  onAcknowledged(ack: Acknowledgement): void;
  /** Loss that recovery repairs begins: sets the threshold that the window has when recovery ends. */
  onLoss(nowMs: number, inFlightBytes: number): void;
  /** Recovery has ended. */
  onRecovered(nowMs: number): void;
  /**
   * The retransmission timer has expired (RFC 5681 section 3.1): the window is one segment. Called once for each loss,
   * not for each back-off.
   */
  onTimeout(nowMs: number, inFlightBytes: number): void;
  /**
   * What was told last as a loss or a timeout was none (RFC 4015 section 3.3): the threshold is what the window was, and
   * the window what is in flight and an initial window, so that nothing is sent in one burst.
   */
  onSpurious(inFlightBytes: number): void;
  /**
   * The subflow holds up the connection's window (policy/blocked-window.ts): its own is {@link penalizedBytes}. No sign of
   * congestion, and what was learnt of earlier losses stays.
   */
  onPenalized(): void;
  /** Nothing was sent for longer than a retransmission timeout (RFC 5681 section 4.1). */
  onIdle(nowMs: number): void;
  /** The path carries another segment size from now on. */
  setSegmentBytes(segmentBytes: number): void;
}

/**
 * The subflows of one Multipath TCP connection, as a coupled algorithm sees them. The connection has it; each subflow's
 * control asks it anew, so that nobody has to be told of subflows that come and go.
 */
export interface CouplingGroup {
  /** Of every subflow that may carry new data now; all of one algorithm. */
  readonly controls: readonly CongestionControl[];
}

/** An algorithm: what makes one subflow's congestion control. */
export interface CongestionAlgorithm {
  readonly name: string;
  /** Without a group the subflow is alone: plain TCP. Algorithms that are not coupled take no notice of it. */
  create(segmentBytes: number, group?: CouplingGroup): CongestionControl;
}

/** RFC 6928 section 2: the initial window, for a segment size. */
export function initialWindowBytes(segmentBytes: number): number {
  return Math.min(10 * segmentBytes, Math.max(2 * segmentBytes, 14600));
}

/** RFC 5681 section 3.1 (4): no threshold is lower than two segments. */
export function leastThresholdBytes(segmentBytes: number): number {
  return 2 * segmentBytes;
}

/**
 * The window of a subflow that is penalized, and its threshold too: half of what it was, but a segment (NSDI 2012, section
 * 4.2). In slow start as well: what doubles in each round trip and is halved in each would stay as large as it is.
 */
export function penalizedBytes(windowBytes: number, segmentBytes: number): number {
  return Math.max(windowBytes / 2, segmentBytes);
}
