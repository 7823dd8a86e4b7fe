/** How a connection ends: RFC 9293 section 3.6 (FIN, TIME-WAIT) and 3.10.5 (abort). */
import { toSequence } from "../../base/sequence.ts";
import type { CloseReason } from "./events.ts";
import type { TcpParts } from "./parts.ts";
import { isSynchronized, type StateEvent } from "./state.ts";

/** Sends FIN behind what was written, where the application wants it and the handshake is over. */
export function closeIfDue({ life, sender }: TcpParts): void {
  if (!life.closeWanted || (life.state !== "established" && life.state !== "closeWait")) return;
  sender.finish();
  life.change("close");
}

/** The peer has acknowledged our FIN. */
export function onFinAcknowledged(parts: TcpParts, nowMs: number): void {
  const { life, timers, settings } = parts;
  if (life.state === "lastAck") return endConnection(parts, "receiveAckOfFin", "finished");
  const closing = life.state === "closing";
  if (!closing && life.state !== "finWait1") return;
  life.change("receiveAckOfFin");
  if (closing) waitAfterEnd(parts, nowMs);
  else if (life.isOrphan) timers.set("linger", nowMs + settings.orphanMs);
}

/** Everything before the peer's FIN has arrived. */
export function onFinReceived(parts: TcpParts, nowMs: number): void {
  parts.life.change("receiveFin");
  parts.life.tell("ended");
  if (parts.life.state === "timeWait") waitAfterEnd(parts, nowMs);
}

/** TIME-WAIT, for two maximum segment lifetimes (RFC 9293 section 3.6.1): nothing else is waited for. */
export function waitAfterEnd({ sender, timers, settings }: TcpParts, nowMs: number): void {
  sender.clear();
  timers.clearAll();
  timers.set("linger", nowMs + settings.timeWaitMs);
}

/** Aborts: the peer sees a reset, and what was not acknowledged is lost. */
export function resetConnection(parts: TcpParts, reason: "aborted" | "timedOut"): void {
  const { life, sender, initialSequence } = parts;
  if (life.closeReason !== undefined) return;
  if (isSynchronized(life.state) || life.state === "synReceived") {
    life.pendingReset = { sequence: toSequence(initialSequence, sender.next), position: sender.next };
  }
  endConnection(parts, "abort", reason);
}

/** The connection is over. What has arrived in order can still be read, where somebody reads. */
export function endConnection(parts: TcpParts, event: StateEvent, reason: CloseReason): void {
  const { life, sender, receiver, timers } = parts;
  if (life.state === "closed") return;
  life.change(event);
  life.closeReason = reason;
  sender.clear();
  receiver.clear();
  if (life.isOrphan) receiver.discard();
  parts.syn = undefined;
  timers.clearAll();
  life.tell("closed");
}
