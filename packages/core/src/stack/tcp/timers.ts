/** The timers of a TCP connection. */
import { Deadlines } from "../../base/deadlines.ts";

/** What there is to wait for. */
export const TIMERS = [
  /** When to take what is in flight for lost (RFC 6298). */
  "retransmission",
  /** When to probe for a lost tail (RFC 8985 section 7). */
  "tailLossProbe",
  /** When reordering has had its time (RFC 8985 section 6.2). */
  "reordering",
  /** When to acknowledge what came alone (RFC 9293 section 3.8.6.3). */
  "delayedAcknowledgement",
  /** When to probe a window that is closed (RFC 9293 section 3.8.6.1). */
  "persist",
  /** When to ask a silent peer whether it is there (RFC 9293 section 3.8.4). */
  "keepalive",
  /** When to give up what is not acknowledged (RFC 9293 section 3.8.3, R2). */
  "giveUp",
  /** When a FIN-WAIT-2 without a reader, or a TIME-WAIT, ends. */
  "linger",
] as const;

export type Timer = (typeof TIMERS)[number];

export class Timers extends Deadlines<Timer> {}
