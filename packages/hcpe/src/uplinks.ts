/**
 * Uplinks: what the kernel knows of each access network, and the routing that makes a source address leave over its own
 * uplink: one table for each uplink, one rule for each of its addresses.
 */
import { equalBytes, toHex } from "@hybrid-access/core/base/bytes";
import { type Family, familyOf, formatIpAddress, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type {
  AddressState,
  DefaultRoute,
  LinkState,
  OwnRoute,
  RouteClient,
  Rule,
} from "@hybrid-access/core/platform/netlink/route";
import type { UplinkAddress } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { Quota } from "@hybrid-access/core/policy/quota";
import type { UplinkSource } from "./carrier.ts";

export interface UplinkConfig {
  readonly name: string;
  readonly interface: string;
  readonly cost: number;
  readonly quota?: Quota | undefined;
}

export type UplinkState = "absent" | "down" | "no carrier" | "no address" | "no route" | "up";

/** An address with the way out that belongs to it. */
export interface UplinkPath {
  readonly address: IpAddress;
  readonly family: Family;
  readonly gateway: IpAddress | undefined;
}

export interface Uplink {
  readonly config: UplinkConfig;
  readonly state: UplinkState;
  readonly interfaceIndex: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** Usable ones; empty unless the state is "up". */
  readonly paths: readonly UplinkPath[];
}

/** What one look at the kernel gave. */
export interface KernelState {
  readonly links: readonly LinkState[];
  readonly addresses: readonly AddressState[];
  readonly routes: readonly DefaultRoute[];
}

export function readKernelState(client: RouteClient): KernelState {
  return { links: client.links(), addresses: client.addresses(), routes: client.defaultRoutes() };
}

/**
 * The state of every uplink. A gateway once seen is remembered in `gateways`: the kernel drops routes when a link goes
 * down, and whoever made them may not be told that it is up again.
 */
export function judgeUplinks(
  configs: readonly UplinkConfig[],
  { links, addresses, routes }: KernelState,
  gateways: Map<string, DefaultRoute>,
): Uplink[] {
  return configs.map((config) => {
    const link = links.find(({ name }) => name === config.interface);
    if (link === undefined) return noUplink(config, "absent", undefined);
    if (!link.up) return noUplink(config, "down", link);
    if (!link.carrier) return noUplink(config, "no carrier", link);
    const usable = addresses.filter((address) => address.usable && address.interfaceIndex === link.index);
    if (usable.length === 0) return noUplink(config, "no address", link);
    const paths = usable.flatMap(({ address }) => {
      const route = routeFor(config.name, familyOf(address), link.index, routes, gateways);
      return route === undefined ? [] : [{ address, family: familyOf(address), gateway: route.gateway }];
    });
    return paths.length === 0 ? noUplink(config, "no route", link) : { ...noUplink(config, "up", link), paths };
  });
}

function noUplink(config: UplinkConfig, state: UplinkState, link: LinkState | undefined): Uplink {
  const { index = 0, receivedBytes = 0, sentBytes = 0 } = link ?? {};
  return { config, state, interfaceIndex: index, receivedBytes, sentBytes, paths: [] };
}

function routeFor(
  uplink: string,
  family: Family,
  interfaceIndex: number,
  routes: readonly DefaultRoute[],
  gateways: Map<string, DefaultRoute>,
): DefaultRoute | undefined {
  const found = routes
    .filter((route) => !route.own && route.family === family && route.interfaceIndex === interfaceIndex)
    .toSorted((left, right) => left.metric - right.metric);
  const key = `${uplink} ${family}`;
  const [best] = found;
  if (best !== undefined) gateways.set(key, best);
  const remembered = gateways.get(key);
  return best ?? (remembered?.interfaceIndex === interfaceIndex ? remembered : undefined);
}

/** Uplinks in order of preference, as the workers want them. */
export function uplinkSources(uplinks: readonly Uplink[]): UplinkSource[] {
  return byCost(uplinks)
    .filter(({ paths }) => paths.length > 0)
    .map(({ config, paths }) => {
      const ipv4 = paths.find(({ family }) => family === "ipv4")?.address;
      const ipv6 = paths.find(({ family }) => family === "ipv6")?.address;
      return { name: config.name, ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
    });
}

function byCost(uplinks: readonly Uplink[]): Uplink[] {
  return uplinks.toSorted((left, right) => left.config.cost - right.config.cost);
}

const LARGEST_ADDRESS_ID = 255;

/** Address identifiers (RFC 8684 section 3.4): the same address keeps its number for as long as the daemon lives. */
export class AddressIds {
  readonly #ids = new Map<string, number>();

  /** Throws a RangeError when 255 addresses have been seen. */
  idOf(address: IpAddress): number {
    const key = toHex(address);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    if (this.#ids.size === LARGEST_ADDRESS_ID) throw new RangeError("255 uplink addresses have been numbered");
    const id = this.#ids.size + 1;
    this.#ids.set(key, id);
    return id;
  }
}

/** The addresses that subflows may use, in order of preference. */
export function uplinkAddresses(uplinks: readonly Uplink[], ids: AddressIds): UplinkAddress[] {
  return byCost(uplinks).flatMap(({ config, interfaceIndex, paths }) =>
    paths.map(({ address }) => ({
      uplink: config.name,
      cost: config.cost,
      address,
      localId: ids.idOf(address),
      interfaceIndex,
    })),
  );
}

const FIRST_TABLE = 5130;
const RULE_PRIORITY = 5130;

/** The daemon's own routes and rules, kept as the uplinks need them. */
export class UplinkRouting {
  readonly #client: RouteClient;
  readonly #configs: readonly UplinkConfig[];
  #rules = new Map<string, Rule>();

  constructor(client: RouteClient, configs: readonly UplinkConfig[]) {
    this.#client = client;
    this.#configs = configs;
  }

  /** Adds what is missing and removes what is no longer wanted. Returns whether anything was done. */
  apply(uplinks: readonly Uplink[], { routes }: KernelState): boolean {
    const wantedRoutes = uplinks.flatMap((uplink) => this.#routesOf(uplink));
    const missing = wantedRoutes.filter((route) => !routes.some((present) => isSameRoute(route, present)));
    for (const route of missing) this.#client.addRoute(route);
    const wanted = new Map(uplinks.flatMap((uplink) => this.#rulesOf(uplink)));
    const added = Array.from(wanted).filter(([key]) => !this.#rules.has(key));
    const removed = Array.from(this.#rules).filter(([key]) => !wanted.has(key));
    for (const [, rule] of added) this.#client.addRule(rule);
    for (const [, rule] of removed) this.#client.deleteRule(rule);
    this.#rules = wanted;
    return missing.length + added.length + removed.length > 0;
  }

  #tableOf({ config }: Uplink): number {
    return FIRST_TABLE + this.#configs.findIndex(({ name }) => name === config.name);
  }

  #routesOf(uplink: Uplink): OwnRoute[] {
    const families = new Map(uplink.paths.map((path) => [path.family, path]));
    return Array.from(families.values(), ({ family, gateway }) => ({
      family,
      table: this.#tableOf(uplink),
      kind: "unicast" as const,
      interfaceIndex: uplink.interfaceIndex,
      ...(gateway && { gateway }),
    }));
  }

  #rulesOf(uplink: Uplink): [string, Rule][] {
    const table = this.#tableOf(uplink);
    return uplink.paths.map(({ address, family }) => [
      `${formatIpAddress(address)} ${table}`,
      { family, priority: RULE_PRIORITY, table, source: address },
    ]);
  }
}

function isSameRoute(wanted: OwnRoute, present: DefaultRoute): boolean {
  return (
    present.own &&
    present.table === wanted.table &&
    present.family === wanted.family &&
    present.interfaceIndex === wanted.interfaceIndex &&
    (wanted.gateway === undefined
      ? present.gateway === undefined
      : present.gateway !== undefined && equalBytes(present.gateway, wanted.gateway))
  );
}
