/**
 * From the subflows that a connection has to those that its policy wants: opens what is missing, changes priorities,
 * closes what is not wanted any more, within the limits.
 *
 * Make before break: a subflow that is not wanted any more stays until a wanted one is open, unless its address is gone.
 */
import { equalBytes } from "../../base/bytes.ts";
import { endpointKey, equalEndpoints } from "../../base/ip-address.ts";
import { whyDemoted } from "../uplink-preference.ts";
import { Attempts } from "./attempts.ts";
import { type Connection, pairKey, type Subflow } from "./connection.ts";
import type { SubflowLimits } from "./limits.ts";
import type { PathDecision, PathReason, SubflowPath, UplinkAddress, WantedSubflow, Withheld } from "./path-manager.ts";
import { hasAddress } from "./selection.ts";
import type { SubflowLedger } from "./subflow-ledger.ts";

/**
 * A priority travels in one ACK, which Linux does not send again when it is lost: the peer would keep its own view for
 * the life of the subflow. So it is said once more after so long.
 */
const REPEAT_PRIORITY_MS = 1000;

/** What a transition goes by. */
export interface TransitionContext {
  readonly ledger: SubflowLedger;
  readonly limits: SubflowLimits;
  /** Usable now. */
  readonly uplinks: readonly UplinkAddress[];
  /** The connection is to get no further subflows yet. */
  readonly held: boolean;
  /** New subflows are backup at first (docs/adr/0015). */
  readonly settles: boolean;
  /** Takes up why less was opened than is wanted. */
  readonly withheld: Set<Withheld["reason"]>;
  readonly nowMs: number;
}

/** The commands that bring `connection`, whose books are kept on the way, to what is wanted. */
export function transition(
  connection: Connection,
  wanted: readonly WantedSubflow[],
  context: TransitionContext,
): PathDecision[] {
  const serving = wanted.map((want) => serve(connection, want));
  const surplus = connection.subflows.filter((subflow) => !serving.some((subflows) => subflows.includes(subflow)));
  const isServed = serving.some((subflows) => subflows.length > 0);
  // Not even a held connection stays without any subflow.
  const mayOpen = !context.held || !isServed;
  const commands: PathDecision[] = [];
  for (const [index, want] of wanted.entries()) {
    const open = serving[index] ?? [];
    commands.push(...prioritise(connection, open, want, context.nowMs));
    if (mayOpen) commands.push(...openMissing(connection, want, open.length, surplus, context));
    else if (open.length < (want.count ?? 1)) context.withheld.add("hold");
  }
  // With no uplink at all, what is there is kept: it may come to life again.
  const isCarried = serving.some((subflows) => subflows.some(({ settledMs }) => settledMs <= context.nowMs));
  const mayClose = ({ stale }: Subflow) => isCarried || (stale !== undefined && wanted.length > 0);
  const closed = surplus.filter(mayClose);
  return [
    ...commands,
    ...closed.flatMap((subflow) => close(connection, subflow, whyUnwanted(subflow, context), context)),
  ];
}

/** What a policy wants, cut to what the limits on one connection allow. */
export function withinLimits(
  wanted: readonly WantedSubflow[],
  { peerLimit }: Connection,
  { perConnection, perPair }: SubflowLimits,
): WantedSubflow[] {
  let room = Math.min(perConnection, peerLimit);
  return wanted.flatMap((want) => {
    const count = Math.min(want.count ?? 1, perPair, room);
    room -= Math.max(0, count);
    return count > 0 ? [{ ...want, count }] : [];
  });
}

/** Asks for what is missing between one pair of addresses; where a limit forbids it, for a surplus one to make room. */
function openMissing(
  connection: Connection,
  want: WantedSubflow,
  open: number,
  surplus: Subflow[],
  context: TransitionContext,
): PathDecision[] {
  const { local, remote, count = 1 } = want;
  const { ledger, limits, settles, withheld, nowMs } = context;
  const backup = want.backup || settles;
  const key = pairKey(local.address, remote);
  const attempts = connection.attempts.get(key) ?? new Attempts(local.address);
  const commands: PathDecision[] = [];
  for (let missing = count - open - attempts.opening; missing > 0; missing--) {
    if (attempts.retryMs > nowMs) break;
    connection.attempts.set(key, attempts);
    if (!ledger.hasRoom(connection, limits)) {
      const victim = surplus.shift();
      if (victim !== undefined) commands.push(...close(connection, victim, "limit", context));
    }
    if (!ledger.hasRoom(connection, limits)) {
      ledger.postpone(attempts, nowMs, "limit");
      withheld.add("limit");
      break;
    }
    const reason = attempts.waitsFor ?? whyMissing(connection, want, context);
    ledger.begin(connection, attempts, backup, nowMs);
    const { token } = connection;
    const { localId, address, interfaceIndex } = local;
    commands.push({ type: "createSubflow", token, localId, local: address, interfaceIndex, remote, backup, reason });
  }
  return commands;
}

/** Why a subflow is opened now that did not have to wait for its turn. */
function whyMissing({ subflows, withheld }: Connection, want: WantedSubflow, { held }: TransitionContext): PathReason {
  const replaced = subflows.find((subflow) => subflow.stale !== undefined && isBetween(subflow, want))?.stale;
  return replaced ?? (withheld.has("hold") && !held ? "hold" : (want.reason ?? "policy"));
}

function whyUnwanted({ stale, local }: Subflow, { uplinks }: TransitionContext): PathReason {
  const uplink = uplinks.find(({ address }) => equalBytes(address, local.address));
  return uplink === undefined ? "uplink gone" : (stale ?? whyDemoted(uplink, uplinks) ?? "policy");
}

function close(
  connection: Connection,
  subflow: Subflow,
  reason: PathReason,
  { ledger, uplinks }: TransitionContext,
): PathDecision[] {
  const { token } = connection;
  const { localId, local, remote } = subflow;
  ledger.drop(connection, subflow);
  connection.ending.add(endpointKey(local));
  const destroy: PathDecision = { type: "destroySubflow", token, localId, local, remote, reason };
  return hasAddress(uplinks, local.address) ? [destroy] : [{ type: "remove", token, localId, reason }, destroy];
}

/** What serves a want: as many subflows as it counts. */
function serve({ subflows }: Connection, want: WantedSubflow): Subflow[] {
  return subflows
    .filter((subflow) => subflow.stale === undefined && isBetween(subflow, want))
    .slice(0, want.count ?? 1);
}

function isBetween({ local, remote }: SubflowPath, want: WantedSubflow): boolean {
  return equalBytes(local.address, want.local.address) && equalEndpoints(remote, want.remote);
}

function prioritise(
  { token }: Connection,
  subflows: readonly Subflow[],
  want: WantedSubflow,
  nowMs: number,
): PathDecision[] {
  return subflows.flatMap((subflow) => {
    const { localId, local, remote, settledMs, repeatMs } = subflow;
    const backup = want.backup || settledMs > nowMs;
    const isNew = subflow.backup !== backup;
    const hasSettled = settledMs <= nowMs && settledMs !== Number.NEGATIVE_INFINITY;
    if (hasSettled) subflow.settledMs = Number.NEGATIVE_INFINITY;
    if (!isNew && repeatMs > nowMs) return [];
    subflow.backup = backup;
    subflow.repeatMs = isNew ? nowMs + REPEAT_PRIORITY_MS : Number.POSITIVE_INFINITY;
    const reason = !isNew ? "again" : hasSettled && !backup ? "settled" : (want.reason ?? "policy");
    return [{ type: "setPriority", token, localId, local, remote, backup, reason } as const];
  });
}
