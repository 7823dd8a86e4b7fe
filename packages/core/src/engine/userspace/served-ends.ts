/** Where connections come to an engine that has a network of its own: addresses of the host, and such as only it has. Pure. */
import { equalBytes } from "../../base/bytes.ts";
import { type Endpoint, endpointKey, type IpAddress, isIpv4 } from "../../base/ip-address.ts";
import { findPrefix, prefix } from "../../base/prefix.ts";

export interface Served extends Endpoint {
  /** The host's kernel has the address too. */
  readonly isHosts: boolean;
}

/** Addresses of a host at which nobody from outside can reach it. */
const NOT_REACHABLE = ["127.0.0.0/8", "169.254.0.0/16", "::1", "fe80::/10"].map(prefix);

/**
 * The ends to serve for `listen` and `announced` on a host with these addresses. An unspecified address stands for all
 * of its family, "::" for those of both. What is announced without a port is served at the ports of `listen`.
 */
export function servedEnds(
  listen: readonly Endpoint[],
  announced: readonly Endpoint[],
  host: readonly IpAddress[],
): Served[] {
  const reachable = host.filter((address) => findPrefix(NOT_REACHABLE, address) === undefined);
  const ports = Array.from(new Set(listen.map(({ port }) => port)));
  const wanted = [
    ...listen.flatMap(({ address, port }) => expand(address, reachable).map((each) => ({ address: each, port }))),
    ...announced.flatMap(({ address, port }) =>
      (port === 0 ? ports : [port]).map((each): Endpoint => ({ address, port: each })),
    ),
  ];
  const byKey = new Map(wanted.map((end) => [endpointKey(end), end]));
  return Array.from(byKey.values(), (end) => ({
    ...end,
    isHosts: host.some((address) => equalBytes(address, end.address)),
  }));
}

function expand(address: IpAddress, host: readonly IpAddress[]): readonly IpAddress[] {
  if (isUnspecified(address)) return isIpv4(address) ? host.filter(isIpv4) : host;
  return [address];
}

/** 0.0.0.0 or "::". */
function isUnspecified(address: IpAddress): boolean {
  return address.slice(12).every((byte) => byte === 0) && (isIpv4(address) || address.every((byte) => byte === 0));
}
