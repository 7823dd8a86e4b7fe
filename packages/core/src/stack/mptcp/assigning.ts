/** Gives the connection's bytes to its subflows: the scheduler says to which, the segment-size rule how many. */
import { isFaster, isToBePenalized } from "../../policy/blocked-window.ts";
import { usableSubflows } from "../../policy/scheduler/scheduler.ts";
import type { MptcpParts } from "./parts.ts";
import { usable } from "./parts.ts";
import type { Subflow } from "./subflow.ts";

/** What one mapping says at most (RFC 8684 section 3.3.1: 16 bits). */
const LARGEST_MAPPING_BYTES = 65_535;

/** Assigns as much as windows and congestion control let go. */
export function assignData(parts: MptcpParts, nowMs: number): void {
  const { session } = parts;
  const candidates = usableSubflows(usable(parts));
  if (candidates.length === 0) return;
  const segmentSizes = candidates.map(({ tcp }) => tcp.sender.segmentBytes);
  while (session.sender.unassignedBytes > 0 || session.sender.hasReinjections || relieves(parts, candidates, nowMs)) {
    const chosen = choose(parts, candidates);
    if (chosen === undefined || !assignOne(parts, chosen, segmentSizes)) return;
  }
}

function choose({ session }: MptcpParts, candidates: readonly Subflow[]): Subflow | undefined {
  const wanted = Math.max(1, session.sender.unassignedBytes);
  const bytes = session.sender.hasReinjections ? LARGEST_MAPPING_BYTES : wanted;
  const ready = candidates.filter((subflow) => {
    if (session.sender.unassignedBytes === 0 && !session.sender.hasReinjectionFor(subflow.id)) return false;
    const canTake = subflow.canTake(bytes);
    // There is data, and only congestion control is against it: its window may grow.
    if (!canTake) subflow.tcp.sender.recovery.onWindowLimited();
    return canTake;
  });
  return ready.length === 0 ? undefined : session.scheduler.choose(ready);
}

function assignOne({ session }: MptcpParts, subflow: Subflow, segmentSizes: readonly number[]): boolean {
  const { sender } = subflow.tcp;
  const segment = session.settings.segmentSize.segmentBytes(sender.segmentBytes, segmentSizes);
  const bulk = Math.min(session.settings.tcp.bulkBytes, LARGEST_MAPPING_BYTES, sender.sendableBytes);
  const most = Math.min(Math.max(segment, Math.floor(bulk / segment) * segment), Math.max(1, sender.sendableBytes));
  const assignment = session.sender.takeReinjection(most, subflow.id) ?? session.sender.takeNew(most);
  if (assignment?.reinjected) session.isPlainable = false;
  if (assignment !== undefined) subflow.assign(assignment);
  return assignment !== undefined;
}

/**
 * Where nothing new may be sent, and a slower subflow than one with room has the first bytes: they go over that one too,
 * and the slow one is penalized. Returns whether there is something to assign.
 */
function relieves({ session, subflows }: MptcpParts, candidates: readonly Subflow[], nowMs: number): boolean {
  const { sender, settings } = session;
  if (subflows.length < 2 || !sender.isHeldUp || !candidates.some((one) => one.canTake(1))) return false;
  const holder = subflows.find(({ sent }) => sent.findData(sender.acknowledged) !== undefined);
  const held = holder?.sent.findData(sender.acknowledged);
  if (holder === undefined || held === undefined) return false;
  if (sender.largestWindowBytes > session.heldWindow.bytes) {
    session.heldWindow = { bytes: sender.largestWindowBytes, sinceMs: nowMs };
  }
  const { smoothedRttMs } = holder;
  const { isRecovering, penalizedMs } = holder.tcp.sender.recovery;
  const seen = { smoothedRttMs, isRecovering, penalizedMs };
  if (!candidates.some((one) => one !== holder && one.canTake(1) && isFaster(one, seen))) return false;
  if (settings.penalization && isToBePenalized(seen, session.heldWindow.sinceMs, nowMs)) {
    holder.tcp.sender.recovery.penalize(nowMs);
    session.penalizations += 1;
  }
  const heldEnd = held.dataStart + held.end - held.start;
  sender.relieve(heldEnd);
  if (settings.opportunisticRetransmission) sender.reinject(sender.acknowledged, heldEnd, holder.id);
  return sender.hasReinjections;
}

/** A subflow has had a timeout, or is gone: what it has goes over others too. */
export function reinjectAll({ session }: MptcpParts, { sent, id, tcp }: Subflow, isGone: boolean): void {
  const { acknowledged } = tcp.sender;
  for (const { start, end, dataStart } of sent) {
    if (end <= acknowledged) continue;
    session.sender.reinject(dataStart, dataStart + end - start, isGone ? -1 : id);
  }
  if (isGone) session.sender.forgetSubflow(id);
}

/**
 * No DATA_ACK for a retransmission timeout: what no subflow has any more is sent again. A peer that may be plain TCP by
 * now would take that for new bytes: it is asked first, and shows by its answer what it is.
 */
export function repeatUnacknowledged({ session, subflows }: MptcpParts): void {
  const { acknowledged, next } = session.sender;
  let end = Math.min(next, acknowledged + LARGEST_MAPPING_BYTES);
  for (const subflow of subflows) {
    for (const mapping of subflow.sent) {
      const dataEnd = mapping.dataStart + mapping.end - mapping.start;
      if (dataEnd <= acknowledged) continue;
      // Its subflow is still sending it.
      if (mapping.dataStart <= acknowledged) return;
      end = Math.min(end, mapping.dataStart);
    }
  }
  if (end <= acknowledged) return;
  if (session.isPlainable && session.acknowledgedWithData <= acknowledged) {
    for (const { tcp } of subflows) tcp.probe();
  } else session.sender.reinject(acknowledged, end, -1);
}
