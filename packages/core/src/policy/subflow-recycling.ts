/**
 * A subflow that sends again and again what the peer has got over another one (RFC 8041 section 2.2, INFOCOM14): TCP may
 * not leave out a byte, so it comes to new data only when the old is acknowledged. It is better reset, for a fresh one
 * begins with new data. path-manager/stall.ts is for engines that are seen from outside only.
 */

/** Retransmission timeouts in a row; what the first one has sent over another subflow is acknowledged by the second. */
export const RECYCLING_TIMEOUTS = 2;

/** A subflow whose retransmission timer has just expired. */
export interface TimedOutSubflow {
  /** Timeouts in a row without an acknowledgement of something new. */
  readonly timeouts: number;
  /** All that it has in flight has a DATA_ACK. */
  readonly isOvertaken: boolean;
  /** The connection has another subflow that works, and is as good to use. */
  readonly hasOther: boolean;
}

/** Whether to reset it. */
export function isToBeRecycled({ timeouts, isOvertaken, hasOther }: TimedOutSubflow): boolean {
  return timeouts >= RECYCLING_TIMEOUTS && isOvertaken && hasOther;
}
