/**
 * The operator lists which local prefix is to reach which remote prefix, and what happens when such a pair has no
 * usable uplink (RFC 8041 section 3.4, figure 3: one subflow for each subnet, none across).
 */
import { contains, type Prefix } from "../../base/prefix.ts";
import type { ConnectionView, SubflowPolicy, UplinkAddress, WantedSubflow } from "./path-manager.ts";
import { remoteAddressesFor } from "./selection.ts";

export interface Pair {
  readonly local: Prefix;
  readonly remote: Prefix;
  /** Without a usable uplink for this pair: do without it, or reach the remote prefix from the preferred uplink. */
  readonly onFailure: "none" | "any";
}

/** Earlier pairs are opened first. */
export function pairs(list: readonly Pair[]): SubflowPolicy {
  return {
    name: "pairs",
    wanted(connection, { uplinks }) {
      const wanted = list.flatMap((pair) => subflowsOf(pair, connection, uplinks));
      return wanted.filter((subflow, index) => wanted.findIndex((other) => isSamePair(other, subflow)) === index);
    },
  };
}

function subflowsOf(pair: Pair, connection: ConnectionView, uplinks: readonly UplinkAddress[]): WantedSubflow[] {
  const usable = uplinks.flatMap((local) =>
    remoteAddressesFor(connection, local)
      .filter(({ address }) => contains(pair.remote, address))
      .map((remote) => ({ local, remote, backup: false })),
  );
  const listed = usable.filter(({ local }) => contains(pair.local, local.address));
  return listed.length === 0 && pair.onFailure === "any" ? usable.slice(0, 1) : listed;
}

function isSamePair(left: WantedSubflow, right: WantedSubflow): boolean {
  return left.local === right.local && left.remote === right.remote;
}
