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

/**
 * In plain TCP the end of the subflow is that of the connection, unless a byte before it is missing: then there is
 * none.
 */
export function closePlain(parts: MptcpParts, { tcp, plain }: Subflow): void {
  const { sender, receiver } = parts.session;
  if (sender.isFinished && sender.next === sender.end) tcp.shutdownWrite();
  if (!tcp.hasEnded || tcp.readableBytes > 0 || receiver.finReached) return;
  if (receiver.next === tcp.readPosition + plain.receiveOffset) receiver.onFin(receiver.next);
  else abort(parts, "aborted");
}

/** Aborts: the peer learns it on every subflow (RFC 8684 section 3.5, a reset with MP_FASTCLOSE). */
export function abort(parts: MptcpParts, reason: "aborted" | "timedOut"): void {
  const { session, subflows } = parts;
  if (parts.closeReason !== undefined) return;
  const receiverKey = session.remote?.key;
  const options: MptcpOption[] =
    receiverKey === undefined || session.fallback !== undefined ? [] : [{ type: "fastClose", receiverKey }];
  for (const subflow of subflows) {
    subflow.resetOptions = options;
    subflow.tcp.reset();
  }
  end(parts, reason);
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
