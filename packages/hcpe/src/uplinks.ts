/**
 * Uplinks: what the kernel knows of each access network, and the routing that makes a source address leave over its own
 * uplink: one table for each uplink, one rule for each of its addresses.
 */
import { equalBytes, toHex } from "@hybrid-access/core/base/bytes";
import { type Family, familyOf, formatIpAddress, type IpAddress } from "@hybrid-access/core/base/ip-address";
import { SystemError } from "@hybrid-access/core/platform/errno";
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
import type { UplinkSource } from "./uplink-choice.ts";

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
    .map((uplink) => {
      const { config, paths } = uplink;
      const ipv4 = paths.find(({ family }) => family === "ipv4")?.address;
      const ipv6 = paths.find(({ family }) => family === "ipv6")?.address;
      return { name: config.name, index: uplinks.indexOf(uplink), ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
    });
}

function byCost(uplinks: readonly Uplink[]): Uplink[] {
  return uplinks.toSorted((left, right) => left.config.cost - right.config.cost);
}

const LARGEST_ADDRESS_ID = 255;

/**
 * Address identifiers (RFC 8684 section 3.4). An address keeps its number while it is there and after it went, until all
 * numbers have been given: then a new one gets the number of the address that has been gone for the longest time.
 */
export class AddressIds {
  /** By address, the one that was in use the longest time ago first. */
  readonly #ids = new Map<string, number>();

  /** The numbers of the addresses in use now, in their order; undefined for what is beyond the first 255. */
  number(addresses: readonly IpAddress[]): (number | undefined)[] {
    const keys = addresses.map(toHex);
    // Known ones first: none of them may lose its number to a new one.
    for (const key of keys) this.#renew(key, this.#ids.get(key));
    for (const key of keys) if (!this.#ids.has(key)) this.#renew(key, this.#freeId(keys));
    return keys.map((key) => this.#ids.get(key));
  }

  #renew(key: string, id: number | undefined): void {
    if (id === undefined) return;
    this.#ids.delete(key);
    this.#ids.set(key, id);
  }

  #freeId(inUse: readonly string[]): number | undefined {
    if (this.#ids.size < LARGEST_ADDRESS_ID) return this.#ids.size + 1;
    const [oldest] = this.#ids;
    if (oldest === undefined || inUse.includes(oldest[0])) return undefined;
    this.#ids.delete(oldest[0]);
    return oldest[1];
  }
}

/** The addresses that subflows may use, in order of preference. */
export function uplinkAddresses(uplinks: readonly Uplink[], ids: AddressIds): UplinkAddress[] {
  const found = byCost(uplinks).flatMap(({ config, interfaceIndex, paths }) =>
    paths.map(({ address }) => ({ uplink: config.name, cost: config.cost, address, interfaceIndex })),
  );
  const localIds = ids.number(found.map(({ address }) => address));
  return found.flatMap((address, index) => {
    const localId = localIds[index];
    return localId === undefined ? [] : [{ ...address, localId }];
  });
}

const FIRST_TABLE = 5130;
const RULE_PRIORITY = 5130;

/** What the kernel made of the routing that uplinks need. */
export interface AppliedRouting {
  /** The uplinks, without the paths whose route or rule was refused. */
  readonly uplinks: readonly Uplink[];
  /** Why, one line for each refusal. */
  readonly refusals: readonly string[];
}

/** The daemon's own routes and rules, kept as the uplinks need them. */
export class UplinkRouting {
  readonly #client: Pick<RouteClient, "addRoute" | "addRule" | "deleteRule">;
  readonly #configs: readonly UplinkConfig[];
  /** Rules that are there. */
  readonly #rules = new Map<string, Rule>();

  constructor(client: Pick<RouteClient, "addRoute" | "addRule" | "deleteRule">, configs: readonly UplinkConfig[]) {
    this.#client = client;
    this.#configs = configs;
  }

  /** Adds what is missing and removes what is no longer wanted. What was refused is tried again the next time. */
  apply(uplinks: readonly Uplink[], { routes }: KernelState): AppliedRouting {
    const refusals: string[] = [];
    const attempt = (uplink: string, action: () => void): boolean => {
      try {
        action();
        return true;
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        refusals.push(`${uplink}: ${error.message}`);
        return false;
      }
    };
    const routed = uplinks.map((uplink) => {
      const { name } = uplink.config;
      const missing = this.#routesOf(uplink).filter((route) => !routes.some((present) => isSameRoute(route, present)));
      const refused = missing.filter((route) => !attempt(name, () => this.#client.addRoute(route)));
      const paths = uplink.paths.filter(
        (path) =>
          !refused.some(({ family }) => family === path.family) && attempt(name, () => this.#addRule(uplink, path)),
      );
      return withPaths(uplink, paths);
    });
    const wanted = new Set(routed.flatMap((uplink) => uplink.paths.map((path) => this.#ruleOf(uplink, path)[0])));
    for (const [key, rule] of this.#rules) {
      if (!wanted.has(key) && attempt(key, () => this.#client.deleteRule(rule))) this.#rules.delete(key);
    }
    return { uplinks: routed, refusals };
  }

  #addRule(uplink: Uplink, path: UplinkPath): void {
    const [key, rule] = this.#ruleOf(uplink, path);
    if (this.#rules.has(key)) return;
    this.#client.addRule(rule);
    this.#rules.set(key, rule);
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

  #ruleOf(uplink: Uplink, { address, family }: UplinkPath): [string, Rule] {
    const table = this.#tableOf(uplink);
    return [`${formatIpAddress(address)} ${table}`, { family, priority: RULE_PRIORITY, table, source: address }];
  }
}

function withPaths(uplink: Uplink, paths: readonly UplinkPath[]): Uplink {
  return { ...uplink, paths, state: uplink.state === "up" && paths.length === 0 ? "no route" : uplink.state };
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
