/**
 * The seam between a TCP connection and what adds options to its segments: Multipath TCP makes a subflow of it through
 * this.
 */
import type { CouplingGroup } from "../../policy/congestion/congestion.ts";
import type { SegmentOption } from "../../wire/tcp/options.ts";
import type { TcpSegment } from "../../wire/tcp/segment.ts";

/** A segment that is about to be sent. Positions are in our stream: 0 is SYN, 1 the first byte. */
export interface OutgoingSegment {
  /** Bits of TCP_FLAG. */
  readonly flags: number;
  /** Position of the payload's first byte. */
  readonly start: number;
  readonly payload: Uint8Array;
  readonly nowMs: number;
  /** What is left for options, in bytes. */
  readonly roomBytes: number;
}

export interface SegmentExtension {
  /** The most that {@link options} adds to a segment with data, in bytes; it makes segments smaller. */
  readonly dataOptionBytes: number;
  /** There is something to say by {@link options} of a segment without data, which is to be sent. */
  readonly hasSignals: boolean;
  /** Whose congestion control goes together with this connection's; undefined where it is alone. */
  readonly coupling: CouplingGroup | undefined;
  /** Options for a segment, which must fit into its room. */
  options(outgoing: OutgoingSegment): readonly SegmentOption[];
  /** Where a segment that starts at `start` must end: `end`, or before it. */
  boundary(start: number, end: number): number;
  /**
   * A segment has arrived that TCP accepts, before its data is taken. `position` is that of the payload's first byte in
   * the peer's stream. "reset" makes the connection answer with a reset, "ignore" with nothing.
   */
  onSegment(segment: TcpSegment, position: number, nowMs: number): "accept" | "reset" | "ignore";
  /**
   * Whether a reset shows that it is the peer's: then it need not have exactly the next sequence number (RFC 5961
   * section 3).
   */
  isAuthenticReset(segment: TcpSegment): boolean;
  /** The window to tell, where it is shared with other connections; undefined leaves it to this connection. */
  windowBytes(): number | undefined;
}
