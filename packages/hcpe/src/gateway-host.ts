/** Where a gateway is, as the configuration says it: an address, or a DNS name. Pure. */
import { type IpAddress, parseIpAddress } from "@hybrid-access/core/base/ip-address";
import { findPrefix, prefix } from "@hybrid-access/core/base/prefix";
import type { Format } from "@hybrid-access/core/services/config/formats";

export type GatewayHost = IpAddress | string;

/** RFC 1123 section 2.1. The last label has a letter: 10.0.0.300 is no name. */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
const MOST_NAME_CHARACTERS = 253;

export const gatewayHost: Format<GatewayHost> = {
  expects: "an IP address or a DNS name",
  parse(raw, path, report) {
    const host = typeof raw === "string" ? (parseIpAddress(raw) ?? nameIn(raw)) : undefined;
    if (host === undefined) report(path, `expected ${this.expects}, found ${JSON.stringify(raw ?? null)}`);
    return host;
  },
};

function nameIn(text: string): string | undefined {
  const labels = text.split(".");
  const last = labels.at(-1) ?? "";
  const valid =
    text.length <= MOST_NAME_CHARACTERS && labels.every((label) => LABEL.test(label)) && /[a-z]/i.test(last);
  return valid ? text.toLowerCase() : undefined;
}

/** Addresses that no gateway has: unspecified, loopback, multicast, reserved; the other family's inside IPv6 too. */
const NOBODYS = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/128", "::1/128", "ff00::/8", "::/96"].map(prefix);

/** Whether a DNS answer can be believed so far that a connection is tried there. */
export function isPossibleGateway(address: IpAddress): boolean {
  return findPrefix(NOBODYS, address) === undefined;
}
