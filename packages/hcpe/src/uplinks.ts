/**
 * Uplinks: what the kernel knows of each access network, and the routing that makes a source address leave over its own
 * uplink: one table for each uplink, one rule for each of its addresses.
 */
import { equalBytes } from "@hybrid-access/core/base/bytes";
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
import type { AddressIds } from "@hybrid-access/core/policy/path-manager/address-ids";
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
  /** The daemon's own. */
  readonly rules: readonly Rule[];
}

export function readKernelState(client: RouteClient): KernelState {
  return {
    links: client.links(),
    addresses: client.addresses(),
    routes: client.defaultRoutes(),
    rules: client.ownRules(),
  };
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

  constructor(client: Pick<RouteClient, "addRoute" | "addRule" | "deleteRule">, configs: readonly UplinkConfig[]) {
    this.#client = client;
    this.#configs = configs;
  }

  /**
   * Adds what is missing and removes what is no longer wanted. What was refused is tried again the next time. Packets
   * with the address that `insideOf` gives leave over the same uplink.
   */
  apply(
    uplinks: readonly Uplink[],
    { routes, rules }: Pick<KernelState, "routes" | "rules">,
    insideOf: (address: IpAddress) => IpAddress | undefined = () => undefined,
  ): AppliedRouting {
    const rulesOf = (uplink: Uplink, path: UplinkPath) => this.#rulesOf(uplink, path, insideOf(path.address));
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
          !refused.some(({ family }) => family === path.family) &&
          rulesOf(uplink, path).every((rule) => attempt(name, () => this.#addMissing(rule, rules))),
      );
      return withPaths(uplink, paths);
    });
    const wanted = routed.flatMap((uplink) => uplink.paths.flatMap((path) => rulesOf(uplink, path)));
    const present = rules.filter(({ priority }) => priority === RULE_PRIORITY);
    for (const rule of present.filter((candidate) => !wanted.some((other) => isSameRule(other, candidate)))) {
      attempt(`${rule.source && formatIpAddress(rule.source)} ${rule.table}`, () => this.#client.deleteRule(rule));
    }
    return { uplinks: routed, refusals };
  }

  #addMissing(wanted: Rule, rules: readonly Rule[]): void {
    if (!rules.some((present) => isSameRule(wanted, present))) this.#client.addRule(wanted);
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

  #rulesOf(uplink: Uplink, { address, family }: UplinkPath, inside: IpAddress | undefined): Rule[] {
    const rule = { family, priority: RULE_PRIORITY, table: this.#tableOf(uplink) };
    return [address, ...(inside === undefined ? [] : [inside])].map((source) => ({ ...rule, source }));
  }
}

function withPaths(uplink: Uplink, paths: readonly UplinkPath[]): Uplink {
  return { ...uplink, paths, state: uplink.state === "up" && paths.length === 0 ? "no route" : uplink.state };
}

function isSameRule(wanted: Rule, present: Rule): boolean {
  return (
    present.table === wanted.table &&
    present.source !== undefined &&
    wanted.source !== undefined &&
    equalBytes(present.source, wanted.source)
  );
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
