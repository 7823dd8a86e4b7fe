/**
 * The nftables rules that put the daemon's devices onto the network: packets leave with the addresses that the
 * transport believes to have, and what is meant for it comes to it though the addresses are the kernel's. The kernel's
 * connection tracking translates.
 */
import { type Family, familyOf, formatIpAddress } from "../../base/ip-address.ts";
import type { MappedAddress } from "./address-map.ts";

const FAMILIES = ["ipv4", "ipv6"] as const;
const NFT: Readonly<Record<Family, "ip" | "ip6">> = { ipv4: "ip", ipv6: "ip6" };

/** For connections that leave: what comes from a device gets the address that it stands for. */
export function outwardRules(pairs: readonly MappedAddress[]): string {
  const rules = FAMILIES.flatMap((family) => {
    const ip = NFT[family];
    const entries = ofFamily(pairs, family).map(
      ({ address, inside }) => `${formatIpAddress(inside)} : ${formatIpAddress(address)}`,
    );
    return entries.length === 0 ? [] : [`snat ${ip} to ${ip} saddr map { ${entries.join(", ")} }`];
  });
  return chain("postrouting", "type nat hook postrouting priority srcnat - 1; policy accept;", rules);
}

/** A pair of addresses, and the port of the address at which connections are taken. */
export interface ServedEnd extends MappedAddress {
  readonly port: number;
}

/** For connections that come: what is meant for a served end goes to a device. */
export function inwardRules(ends: readonly ServedEnd[]): string {
  const rules = FAMILIES.flatMap((family) => {
    const ip = NFT[family];
    const entries = ofFamily(ends, family).map(
      ({ address, inside, port }) => `${formatIpAddress(address)} . ${port} : ${formatIpAddress(inside)}`,
    );
    return entries.length === 0 ? [] : [`dnat ${ip} to ${ip} daddr . tcp dport map { ${entries.join(", ")} }`];
  });
  return chain("prerouting", "type nat hook prerouting priority dstnat - 1; policy accept;", rules);
}

function ofFamily<Pair extends MappedAddress>(pairs: readonly Pair[], family: Family): Pair[] {
  return pairs.filter(({ address }) => familyOf(address) === family);
}

function chain(name: string, hook: string, rules: readonly string[]): string {
  return `chain ${name} {\n${[hook, ...rules].map((line) => `  ${line}`).join("\n")}\n}`;
}
