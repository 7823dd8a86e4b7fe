/**
 * A slow subflow that holds up the whole connection: the peer's window (or our buffer) is full, and its first byte was
 * given to that subflow. What a faster one does about it (Raiciu et al., "How Hard Can It Be?", NSDI 2012, section 4.2;
 * RFC 8041 section 2.2): it sends the first bytes once more (opportunistic retransmission), and the slow one's congestion
 * window is halved (penalization), so that it holds less of the window from now on.
 */

/** The subflow that has the first bytes without a DATA_ACK. */
export interface WindowHolder {
  readonly smoothedRttMs: number | undefined;
  /** It repairs a loss: its window is smaller by that already. */
  readonly isRecovering: boolean;
  /** When it was penalized last. */
  readonly penalizedMs: number | undefined;
}

/** Whether a subflow that has room would bring the first bytes sooner. */
export function isFaster(ready: { readonly smoothedRttMs: number | undefined }, holder: WindowHolder): boolean {
  return (ready.smoothedRttMs ?? Number.POSITIVE_INFINITY) < (holder.smoothedRttMs ?? Number.POSITIVE_INFINITY);
}

/**
 * What a smaller congestion window changes is seen a round trip later: once in each is enough. Nor is there need while the
 * peer's window grows (policy/receive-window.ts), which is as large as it is since `windowSinceMs`.
 */
export function isToBePenalized(holder: WindowHolder, windowSinceMs: number, nowMs: number): boolean {
  const { smoothedRttMs, isRecovering, penalizedMs } = holder;
  if (isRecovering) return false;
  return nowMs - Math.max(windowSinceMs, penalizedMs ?? 0) >= (smoothedRttMs ?? Number.POSITIVE_INFINITY);
}
