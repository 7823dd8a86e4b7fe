/** What policies share: which of the peer's ends an uplink can reach, and which uplinks are the cheapest. */
import { equalBytes } from "../../base/bytes.ts";
import { type Endpoint, equalEndpoints, familyOf, type IpAddress } from "../../base/ip-address.ts";
import type { ConnectionView, UplinkAddress, WantedSubflow } from "./path-manager.ts";

/**
 * The ends of the peer that subflows from this address may go to, the preferred one first: the address and port of the
 * initial subflow unless the peer has forbidden that (C flag), then what it has announced, all of its family. With a join
 * port, announced ends with that port come first (RFC 8041 section 3.5).
 */
export function remotesFor(connection: ConnectionView, local: UplinkAddress): Endpoint[] {
  const { remote, announced, joinPort, denyJoinInitial } = connection;
  if (familyOf(local.address) !== familyOf(remote.address)) return [];
  const others = announced.filter(
    (endpoint) => !equalEndpoints(endpoint, remote) && familyOf(endpoint.address) === familyOf(remote.address),
  );
  const initialAllowed = !denyJoinInitial || isInitialOpen(connection, local);
  const all = initialAllowed ? [remote, ...others] : others;
  if (joinPort === undefined || isInitialOpen(connection, local)) return all;
  return all.toSorted((left, right) => Number(right.port === joinPort) - Number(left.port === joinPort));
}

/**
 * One of these ends for each address of the peer, the preferred one: another port of the same address is another way to
 * the same place.
 */
export function remoteAddressesFor(connection: ConnectionView, local: UplinkAddress): Endpoint[] {
  const remotes = remotesFor(connection, local);
  return remotes.filter(
    ({ address }, index) => remotes.findIndex((other) => equalBytes(other.address, address)) === index,
  );
}

/** Whether the initial subflow is open, and leaves from this address. */
function isInitialOpen({ local, remote, subflows }: ConnectionView, { address }: UplinkAddress): boolean {
  return (
    equalBytes(local.address, address) &&
    subflows.some((subflow) => equalEndpoints(subflow.local, local) && equalEndpoints(subflow.remote, remote))
  );
}

/** Those of `uplinks` that reach the peer. */
export function reaching(connection: ConnectionView, uplinks: readonly UplinkAddress[]): UplinkAddress[] {
  return uplinks.filter((local) => remotesFor(connection, local).length > 0);
}

/** One subflow from each of these addresses to its preferred end of the peer. */
export function oneEach(
  connection: ConnectionView,
  locals: readonly UplinkAddress[],
  isBackup: (local: UplinkAddress) => boolean = () => false,
): WantedSubflow[] {
  return locals.flatMap((local) =>
    remotesFor(connection, local)
      .slice(0, 1)
      .map((remote) => ({ local, remote, backup: isBackup(local) })),
  );
}

/** The ones at the beginning that cost no more than the first; `uplinks` is in order of preference. */
export function cheapest(uplinks: readonly UplinkAddress[]): UplinkAddress[] {
  return uplinks.filter(({ cost }) => cost === uplinks[0]?.cost);
}

export function hasAddress(uplinks: readonly UplinkAddress[], wanted: IpAddress): boolean {
  return uplinks.some(({ address }) => equalBytes(address, wanted));
}
