/** How a connection becomes plain TCP, and what is done where it cannot (RFC 8684 section 3.7). */
import { RESET_REASON } from "../../wire/mptcp/options.ts";
import { dropSubflow } from "./closing.ts";
import type { FallbackReason } from "./events.ts";
import type { Mapping } from "./mappings.ts";
import { count, type MptcpParts, tell } from "./parts.ts";
import type { Subflow } from "./subflow.ts";

/** From now on the one subflow's bytes are the connection's. */
export function fallBack(parts: MptcpParts, reason: FallbackReason): void {
  const { session, subflows, timers } = parts;
  if (session.fallback !== undefined) return;
  session.fallback = reason;
  for (const timer of ["dataRetransmission", "giveUp", "dataPersist", "joinAcknowledgement"] as const)
    timers.clear(timer);
  for (const subflow of subflows) {
    // The peer may have taken our mappings: it learns that no more come (RFC 8684 section 3.7).
    const { plain, sent, tcp } = subflow;
    if (reason === "optionsRemoved" && sent.wasUsed)
      subflow.plain = { ...plain, infiniteFrom: plain.infiniteFrom ?? tcp.sender.end };
    tcp.onExtensionChanged();
    // A join that nobody has answered must not go on as plain TCP: its SYN would open another connection.
    if (subflow.id > 0) dropSubflow(subflow, RESET_REASON.unspecified);
  }
  tell(parts, { type: "fallback", reason });
}

/**
 * Data has come that no mapping speaks of. Before the peer has mapped any, and where plain TCP is the same stream, it
 * goes on so. A peer that has mapped data and does not say that it goes on without (an infinite mapping) may be behind
 * a path that has begun to remove options: it would not hear of our falling back, and repeat its data behind itself.
 */
export function onDataWithoutMapping(parts: MptcpParts, subflow: Subflow): void {
  const { tcp } = subflow;
  if (parts.session.isPlainable && !parts.session.peerHasMapped) return fallBack(parts, "optionsRemoved");
  count(parts, "dataWithoutMapping");
  subflow.resetWith(RESET_REASON.middlebox);
  tcp.reset();
}

/** Data has arrived changed. It is not taken; with other subflows this one ends, alone it goes on as plain TCP. */
export function onWrongChecksum(parts: MptcpParts, subflow: Subflow, mapping: Mapping): void {
  const { session } = parts;
  count(parts, "wrongChecksum");
  const sequence = session.peerSequenceOf(mapping.dataStart);
  if (!isAlone(parts, subflow) || mapping.dataStart !== session.receiver.next) {
    subflow.resetOptions = [{ type: "fail", sequence }];
    subflow.tcp.reset();
    return;
  }
  subflow.plain = { ...subflow.plain, isDeaf: true, failure: { type: "fail", sequence } };
  beginPlain(parts, subflow, "checksum");
  subflow.tcp.requestAcknowledgement();
}

/** MP_FAIL: what we have sent from `position` on has arrived changed. */
export function onFail(parts: MptcpParts, subflow: Subflow, position: number): void {
  const { session } = parts;
  if (subflow.tcp.closeReason !== undefined || !isAlone(parts, subflow)) return;
  if (position < session.sender.acknowledged || position > session.sender.next) return;
  if (subflow.plain.infiniteFrom === undefined) beginPlain(parts, subflow, "peer");
}

/** Everything without DATA_ACK is sent once more behind what the subflow has, with an infinite mapping. */
function beginPlain(parts: MptcpParts, subflow: Subflow, reason: FallbackReason): void {
  const { session } = parts;
  const start = subflow.tcp.sender.end;
  subflow.plain = { ...subflow.plain, infiniteFrom: start, offset: session.sender.rewind() - start };
  subflow.sent.clear();
  fallBack(parts, reason);
}

/** The peer goes on without mappings. */
export function onInfiniteMapping(parts: MptcpParts, subflow: Subflow, start: number, dataStart: number): void {
  const { session } = parts;
  if (!isAlone(parts, subflow)) return;
  const { plain } = subflow;
  if (plain.receiveFrom !== undefined) return;
  subflow.plain = { ...plain, receiveFrom: start, receiveOffset: dataStart - start };
  // What was sent with mappings before, and did not arrive as it was, comes again.
  if (plain.isDeaf) subflow.received.clear();
  if (plain.infiniteFrom !== undefined) return;
  // What is on its way arrives, and counts, unless the peer says that it has refused it: see onFail.
  const isSame = session.isPlainable && start === dataStart;
  if (isSame) fallBack(parts, "peer");
  else beginPlain(parts, subflow, "peer");
}

/** Joins that nobody has answered do not count. */
function isAlone({ subflows }: MptcpParts, subflow: Subflow): boolean {
  return subflows.every((one) => one === subflow || one.tcp.state === "synSent");
}
