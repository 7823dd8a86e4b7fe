/**
 * How a connection ends (RFC 8684 sections 3.3.3 to 3.5). Its streams end with DATA_FIN; only then are subflows closed.
 * The side that has ended first closes them; the other waits for that, so that it is not left with TIME-WAIT (RFC 8041
 * section 3.6).
 */
import { type MptcpOption, RESET_REASON } from "../../wire/mptcp/options.ts";
import type { CloseReason } from "../tcp/events.ts";
import { type MptcpParts, tell } from "./parts.ts";
import type { Subflow } from "./subflow.ts";

/** Whether both streams have ended, and both sides know. */
export function isComplete({ session }: MptcpParts): boolean {
  return session.sender.finAcknowledged && session.receiver.finReached;
}

/** Both streams have ended: closes subflows, or waits for the peer to. */
export function closeSubflows(parts: MptcpParts, nowMs: number): void {
  const { subflows, timers, endedFirst, session } = parts;
  if (endedFirst) for (const { tcp } of subflows) tcp.shutdownWrite();
  else {
    timers.setIfIdle("lateClose", nowMs + session.settings.lateCloseMs);
    for (const { tcp } of subflows) if (tcp.hasEnded) tcp.shutdownWrite();
  }
}

/** Ends one subflow, and says why (RFC 8684 section 3.6). */
export function dropSubflow(subflow: Subflow, reason: number): void {
  subflow.resetWith(reason);
  subflow.tcp.reset();
}

/**
 * The peer has closed a subflow before the connection was complete. The answer is a reset, never an end: a peer that has
 * become plain TCP would take an end for that of the stream.
 */
export function answerEnd(parts: MptcpParts, subflow: Subflow): void {
  const { tcp } = subflow;
  if (tcp.hasEnded && tcp.readableBytes === 0 && !isComplete(parts)) dropSubflow(subflow, RESET_REASON.unspecified);
}

/** In plain TCP our end is that of the subflow. */
export function closePlain({ session: { sender } }: MptcpParts, { tcp }: Subflow): void {
  if (sender.isFinished && sender.next === sender.end) tcp.shutdownWrite();
}

/**
 * In plain TCP the peer's end of the subflow is that of the connection, unless a byte before it is missing: then there
 * is none.
 */
export function collectPlainEnd(parts: MptcpParts, { tcp, plain }: Subflow, nowMs: number): void {
  const { receiver } = parts.session;
  if (!tcp.hasEnded || tcp.readableBytes > 0 || receiver.finReached) return;
  if (receiver.next === tcp.readPosition + plain.receiveOffset) receiver.onFin(receiver.next);
  else abort(parts, "aborted", nowMs);
}

/** How often MP_FASTCLOSE is said again that no reset answers (RFC 8684 section 3.5). */
export const MOST_FAST_CLOSE_REPETITIONS = 3;

/**
 * Aborts (RFC 8684 section 3.5): the peer learns it by MP_FASTCLOSE on every subflow. One subflow, where one works, says
 * it by an acknowledgement (option A) until the peer answers with a reset: were resets alone to say it, and lost, the
 * peer would keep the connection. The others say it by their resets (option R), so that no path must wait for another.
 */
export function abort(parts: MptcpParts, reason: "aborted" | "timedOut", nowMs: number): void {
  const { session, subflows } = parts;
  if (parts.closeReason !== undefined) return;
  const receiverKey = session.remote?.key;
  const isPlain = receiverKey === undefined || session.fallback !== undefined;
  const options: MptcpOption[] = isPlain ? [] : [{ type: "fastClose", receiverKey }];
  const asks = isPlain || reason === "timedOut" ? undefined : subflows.find(mayAsk);
  for (const subflow of subflows) {
    subflow.resetOptions = options;
    if (subflow === asks) subflow.askFastClose();
    else subflow.tcp.reset();
  }
  end(parts, reason);
  if (asks !== undefined) parts.timers.set("fastClose", nowMs + asks.tcp.roundTrip.timeoutMs);
}

/** Whether the peer is known to take options of this subflow, and can be expected to answer. */
function mayAsk({ isUsable, isConfirmed, isStale, tcp }: Subflow): boolean {
  return isUsable && isConfirmed && !isStale && tcp.state !== "synReceived";
}

/** The timer "fastClose" is due: no reset has come. Says it again, and at last by a reset itself. */
export function repeatFastClose({ subflows, timers }: MptcpParts, nowMs: number): void {
  const asks = subflows.find(({ fastCloses }) => fastCloses > 0);
  if (asks === undefined) return;
  if (asks.fastCloses > MOST_FAST_CLOSE_REPETITIONS) return asks.tcp.reset();
  asks.askFastClose();
  timers.set("fastClose", nowMs + asks.tcp.roundTrip.timeoutMs);
}

/** The connection is over. Subflows that still close themselves are left to it. */
export function end(parts: MptcpParts, reason: CloseReason): void {
  if (parts.closeReason !== undefined) return;
  parts.closeReason = reason;
  parts.timers.clearAll();
  parts.session.sender.clear();
  if (parts.isOrphan) parts.session.receiver.discard();
  else parts.session.receiver.clear();
  tell(parts, { type: "closed", reason });
}
