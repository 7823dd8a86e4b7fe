/**
 * Where clients may be connected to. A converter that connects anywhere is an open relay into the operator's own
 * network (RFC 8803 section 9.2), so every range that is not public is denied until it is allowed.
 */

import { equalBytes } from "@hybrid-access/core/base/bytes";
import { type Endpoint, type IpAddress, ipAddressFromBytes, isIpv4 } from "@hybrid-access/core/base/ip-address";
import { contains, findPrefix, type Prefix, prefix } from "@hybrid-access/core/base/prefix";

export type DestinationVerdict =
  | { readonly allowed: true }
  /** `invalid` marks what RFC 8803 section 6.2.5 forbids in a Connect TLV: such a message is malformed. */
  | { readonly allowed: false; readonly reason: string; readonly invalid: boolean };

export interface DestinationRules {
  readonly allow: readonly Prefix[];
  /** Stronger than `allow`. */
  readonly deny: readonly Prefix[];
}

interface SpecialRange {
  readonly prefix: Prefix;
  readonly reason: string;
  readonly invalid: boolean;
}

function ranges(reason: string, invalid: boolean, ...texts: string[]): SpecialRange[] {
  return texts.map((text) => ({ prefix: prefix(text), reason, invalid }));
}

/** From IANA's special-purpose address registries (RFC 6890); reachable globally is what is not here. */
const SPECIAL_RANGES: readonly SpecialRange[] = [
  ...ranges("loopback", true, "127.0.0.0/8", "::1/128"),
  ...ranges("multicast", true, "224.0.0.0/4", "ff00::/8"),
  ...ranges("broadcast", true, "255.255.255.255/32"),
  ...ranges("unspecified", false, "0.0.0.0/8", "::/128"),
  ...ranges("link-local", false, "169.254.0.0/16", "fe80::/10"),
  ...ranges("private", false, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
  ...ranges("shared", false, "100.64.0.0/10"),
  ...ranges("protocol assignments", false, "192.0.0.0/24", "192.88.99.0/24", "2001::/23"),
  ...ranges("documentation", false, "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
  ...ranges("benchmarking", false, "198.18.0.0/15"),
  ...ranges("reserved", false, "240.0.0.0/4"),
  ...ranges("discard", false, "100::/64"),
  ...ranges("segment routing", false, "5f00::/16"),
];

/** Prefixes whose addresses hold an IPv4 address, and where: a packet to them may come out as IPv4. */
const EMBEDDING: readonly { readonly prefix: Prefix; readonly offset: number }[] = [
  { prefix: prefix("::/96"), offset: 12 },
  { prefix: prefix("::ffff:0:0:0/96"), offset: 12 },
  { prefix: prefix("64:ff9b::/96"), offset: 12 },
  { prefix: prefix("64:ff9b:1::/48"), offset: 12 },
  { prefix: prefix("2002::/16"), offset: 2 },
];

/** The IPv4 address inside a transition address, if this is one. */
function embeddedIpv4(address: IpAddress): IpAddress | undefined {
  if (isIpv4(address)) return undefined;
  const found = EMBEDDING.find(({ prefix }) => contains(prefix, address));
  return found && ipAddressFromBytes(address.subarray(found.offset, found.offset + 4));
}

const ALLOWED: DestinationVerdict = { allowed: true };

/** Judges a destination. `ownAddresses` are the gateway's. */
export function judgeDestination(
  { address, port }: Endpoint,
  rules: DestinationRules,
  ownAddresses: readonly IpAddress[],
): DestinationVerdict {
  if (port === 0) return { allowed: false, reason: "port 0", invalid: true };
  const denied = findPrefix(rules.deny, address);
  if (denied !== undefined) return { allowed: false, reason: "denied by configuration", invalid: false };
  if (findPrefix(rules.allow, address) !== undefined) return ALLOWED;
  if (ownAddresses.some((own) => equalBytes(own, address))) {
    return { allowed: false, reason: "the gateway's own address", invalid: false };
  }
  const special = SPECIAL_RANGES.find(({ prefix }) => contains(prefix, address));
  if (special !== undefined) return { allowed: false, reason: special.reason, invalid: special.invalid };
  const embedded = embeddedIpv4(address);
  return embedded === undefined ? ALLOWED : judgeDestination({ address: embedded, port }, rules, ownAddresses);
}
