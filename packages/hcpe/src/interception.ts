/**
 * Interception: an nftables table of the daemon's own hands the LAN's TCP connections to its transparent listeners.
 *
 * Fail-open by construction: `tproxy` without a listening socket does not match, and the packet goes on as if the table
 * were not there. Only SYNs are taken, so connections from before stay as they were.
 */

import { familyOf } from "@hybrid-access/core/base/ip-address";
import { formatPrefix, type Prefix } from "@hybrid-access/core/base/prefix";
import type { RouteClient } from "@hybrid-access/core/platform/netlink/route";
import { removeTable, replaceTable } from "@hybrid-access/core/services/host/nftables";
import {
  addTransparentRouting,
  MARK_TRANSPARENT,
  TRANSPARENT_MARK,
} from "@hybrid-access/core/services/host/transparent-routing";

export const NFT_TABLE = "hybrid_access_hcpe";

export interface InterceptionOptions {
  readonly lanInterfaces: readonly string[];
  readonly uplinkInterfaces: readonly string[];
  /** Of the listeners on 127.0.0.1 and ::1. */
  readonly port: number;
  readonly bypass: {
    readonly destinations: readonly Prefix[];
    readonly ports: readonly number[];
    readonly dscp: readonly number[];
  };
}

/** Puts interception up, or changes it: nothing passes half a rule set. */
export function intercept(options: InterceptionOptions, routes: RouteClient): void {
  addTransparentRouting(routes);
  replaceTable(NFT_TABLE, interceptionRules(options));
}

/** Takes no more connections, but keeps those that are open working. */
export function stopIntercepting({ lanInterfaces }: Pick<InterceptionOptions, "lanInterfaces">): void {
  replaceTable(NFT_TABLE, chain([`iifname != ${set(lanInterfaces.map(quote))} return`, established()]));
}

export function removeInterception(): void {
  removeTable(NFT_TABLE);
}

/** The chain's rules, in nft's language. */
export function interceptionRules({ lanInterfaces, uplinkInterfaces, port, bypass }: InterceptionOptions): string {
  return chain([
    `iifname != ${set(lanInterfaces.map(quote))} return`,
    "meta l4proto != tcp return",
    // First, since nearly every packet ends here.
    established(),
    "fib daddr type { local, broadcast, multicast } return",
    // Between two networks of the home there is nothing to carry.
    `fib daddr oif exists fib daddr oifname != ${set(uplinkInterfaces.map(quote))} return`,
    ...bypassRules(bypass),
    `meta nfproto ipv4 ${SYN} tproxy ip to 127.0.0.1:${port} meta mark set ${TRANSPARENT_MARK} accept`,
    `meta nfproto ipv6 ${SYN} tproxy ip6 to [::1]:${port} meta mark set ${TRANSPARENT_MARK} accept`,
  ]);
}

const SYN = "tcp flags & (fin|syn|rst|ack) == syn";

function established(): string {
  return `tcp flags & (syn|ack) != syn ${MARK_TRANSPARENT}`;
}

function bypassRules({ destinations, ports, dscp }: InterceptionOptions["bypass"]): string[] {
  const of = (family: "ipv4" | "ipv6") =>
    destinations.filter(({ address }) => familyOf(address) === family).map(formatPrefix);
  return [
    ...rule("ip daddr", of("ipv4")),
    ...rule("ip6 daddr", of("ipv6")),
    ...rule("tcp dport", ports.map(String)),
    ...rule("ip dscp", dscp.map(String)),
    ...rule("ip6 dscp", dscp.map(String)),
  ];
}

function rule(match: string, values: readonly string[]): string[] {
  return values.length === 0 ? [] : [`${match} ${set(values)} return`];
}

function chain(rules: readonly string[]): string {
  const body = ["type filter hook prerouting priority mangle; policy accept;", ...rules];
  return `chain prerouting {\n${body.map((line) => `  ${line}`).join("\n")}\n}`;
}

function set(values: readonly string[]): string {
  return `{ ${values.join(", ")} }`;
}

function quote(name: string): string {
  return `"${name}"`;
}
