/** rtnetlink(7): interfaces, addresses, routes and rules, as far as uplinks and interception need them. */
import { concatBytes } from "../../base/bytes.ts";
import { type Family, familyOf, type IpAddress, ipAddressFromBytes, networkBytes } from "../../base/ip-address.ts";
import { ERRNO, SystemError } from "../errno.ts";
import { AF_INET, AF_INET6 } from "../socket-address.ts";
import { attribute, decodeAttributes, integer, type NetlinkMessage, text, value } from "./message.ts";
import { FLAG, NETLINK_ROUTE, NetlinkClient, watchNetlink } from "./socket.ts";

const MESSAGE = {
  getLink: 18,
  getAddress: 22,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
  newRule: 32,
  deleteRule: 33,
  getRule: 34,
} as const;

/** Multicast groups for changes of links, addresses, routes and rules of both families. */
const GROUPS = [1, 5, 7, 8, 9, 11, 19];

/** Routes and rules with this protocol number are this project's: so what a killed daemon left can be found. */
export const ROUTE_PROTOCOL = 124;

const RT_TABLE_UNSPEC = 0;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_HOST = 254;

const LINK = { name: 3, statistics64: 23, carrier: 33 } as const;
const ADDRESS = { address: 1, local: 2, flags: 8 } as const;
const ROUTE = { destination: 1, outInterface: 4, gateway: 5, priority: 6, table: 15 } as const;
const RULE = { source: 2, priority: 6, mark: 10, table: 15, protocol: 21 } as const;

const IFF_UP = 1;
const IFA_F_TENTATIVE_DADFAILED_DEPRECATED = 0x40 | 0x08 | 0x20;
const FR_ACT_TO_TABLE = 1;

export interface LinkState {
  readonly index: number;
  readonly name: string;
  /** Administratively up. */
  readonly up: boolean;
  readonly carrier: boolean;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export interface AddressState {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** Global scope and fit for new connections: neither tentative nor deprecated. */
  readonly usable: boolean;
}

/** A default route. */
export interface DefaultRoute {
  readonly family: Family;
  readonly interfaceIndex: number;
  readonly gateway: IpAddress | undefined;
  readonly table: number;
  readonly metric: number;
  /** Made by this project ({@link ROUTE_PROTOCOL}). */
  readonly own: boolean;
}

export interface Rule {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  /** Matches packets from this address. */
  readonly source?: IpAddress;
  /** Matches packets with this firewall mark, all of whose bits count. */
  readonly mark?: number;
}

/** A route of this project's own: through a gateway, to a link, or to this host. */
export interface OwnRoute {
  readonly family: Family;
  readonly table: number;
  readonly kind: "unicast" | "local";
  readonly interfaceIndex: number;
  readonly gateway?: IpAddress;
  /** For this address alone; for everything without it. */
  readonly destination?: IpAddress;
  /** Of routes for the same destination the one with the least is taken; 0 without it, IPv6's own default for that family. */
  readonly metric?: number;
}

const FAMILIES: readonly (readonly [Family, number])[] = [
  ["ipv4", AF_INET],
  ["ipv6", AF_INET6],
];

function familyNumber(family: Family): number {
  return family === "ipv4" ? AF_INET : AF_INET6;
}

export class RouteClient {
  readonly #client = new NetlinkClient(NETLINK_ROUTE);

  links(): LinkState[] {
    return this.#dump(MESSAGE.getLink, new Uint8Array(16), "list interfaces").map(decodeLink);
  }

  addresses(): AddressState[] {
    return this.#dump(MESSAGE.getAddress, new Uint8Array(8), "list addresses").flatMap(
      (message) => decodeAddress(message) ?? [],
    );
  }

  /** Default routes of every table, both families. */
  defaultRoutes(): DefaultRoute[] {
    return FAMILIES.flatMap(([, number]) =>
      this.#dump(MESSAGE.getRoute, familyBody(number), "list routes").flatMap(
        (message) => decodeDefaultRoute(message) ?? [],
      ),
    );
  }

  /** Tables in which this project has its route that delivers everything to this host. */
  ownLocalRoutes(): { family: Family; table: number }[] {
    return FAMILIES.flatMap(([family, number]) =>
      this.#dump(MESSAGE.getRoute, familyBody(number), "list routes").flatMap(({ body }) => {
        if (body[1] !== 0 || body[5] !== ROUTE_PROTOCOL || body[7] !== RTN_LOCAL) return [];
        return [{ family, table: integer(decodeAttributes(body.subarray(12)).get(ROUTE.table)) ?? body[4] ?? 0 }];
      }),
    );
  }

  /** This project's rules, both families. */
  ownRules(): Rule[] {
    return FAMILIES.flatMap(([, number]) =>
      this.#dump(MESSAGE.getRule, familyBody(number), "list rules").flatMap((message) => decodeOwnRule(message) ?? []),
    );
  }

  addRoute(route: OwnRoute): void {
    const body = encodeRoute(route);
    this.#client.request(MESSAGE.newRoute, FLAG.create | FLAG.replace, body, `add a route to table ${route.table}`);
  }

  addRule(rule: Rule): void {
    const action = `add a rule for table ${rule.table}`;
    try {
      this.#client.request(MESSAGE.newRule, FLAG.create | FLAG.exclusive, encodeRule(rule), action);
    } catch (error) {
      if (!isErrno(error, ERRNO.EEXIST)) throw error;
    }
  }

  deleteRule(rule: Rule): void {
    this.#delete(MESSAGE.deleteRule, encodeRule(rule), `delete a rule for table ${rule.table}`);
  }

  deleteRoute(route: OwnRoute): void {
    this.#delete(MESSAGE.deleteRoute, encodeRoute(route), `delete a route of table ${route.table}`);
  }

  /** What is gone already needs no deleting. */
  #delete(type: number, body: Uint8Array, action: string): void {
    try {
      this.#client.request(type, 0, body, action);
    } catch (error) {
      if (!isErrno(error, ERRNO.ENOENT) && !isErrno(error, ERRNO.ESRCH) && !isErrno(error, ERRNO.ENODEV)) throw error;
    }
  }

  /** Deletes every rule and route that carries this project's protocol number; returns how many there were. */
  removeOwn(): number {
    let removed = 0;
    for (const [, number] of FAMILIES) {
      const body = familyBody(number);
      for (const { body: rule } of this.#dump(MESSAGE.getRule, body, "list rules")) {
        if (integer(decodeAttributes(rule.subarray(12)).get(RULE.protocol)) !== ROUTE_PROTOCOL) continue;
        this.#delete(MESSAGE.deleteRule, rule, "delete a rule");
        removed += 1;
      }
      for (const { body: route } of this.#dump(MESSAGE.getRoute, body, "list routes")) {
        if (route[5] !== ROUTE_PROTOCOL) continue;
        this.#delete(MESSAGE.deleteRoute, route, "delete a route");
        removed += 1;
      }
    }
    return removed;
  }

  #dump(type: number, body: Uint8Array, action: string): NetlinkMessage[] {
    return this.#client.request(type, FLAG.dump, body, action);
  }

  close(): void {
    this.#client.close();
  }
}

/** Calls back whenever an interface, an address, a route or a rule may have changed. */
export function watchRoutes(onChange: () => void): { close(): void } {
  return watchNetlink(NETLINK_ROUTE, GROUPS, onChange);
}

function isErrno(error: unknown, errno: number): boolean {
  return error instanceof SystemError && error.errno === errno;
}

/** A struct rtmsg or fib_rule_hdr that asks for everything of a family. */
function familyBody(family: number): Uint8Array {
  const body = new Uint8Array(12);
  body[0] = family;
  return body;
}

/** struct ifinfomsg: family(1) pad(1) type(2) index(4) flags(4) change(4). */
function decodeLink({ body }: NetlinkMessage): LinkState {
  const view = new DataView(body.buffer, body.byteOffset);
  const attributes = decodeAttributes(body.subarray(16));
  const statistics = attributes.get(LINK.statistics64);
  // struct rtnl_link_stats64: rx_packets, tx_packets, rx_bytes, tx_bytes, ...
  const counter = (index: number) => integer(statistics?.subarray(8 * index, 8 * index + 8)) ?? 0;
  return {
    index: view.getInt32(4, true),
    name: text(attributes.get(LINK.name)) ?? "",
    up: (view.getUint32(8, true) & IFF_UP) !== 0,
    carrier: integer(attributes.get(LINK.carrier)) !== 0,
    receivedBytes: counter(2),
    sentBytes: counter(3),
  };
}

/** struct ifaddrmsg: family(1) prefixlen(1) flags(1) scope(1) index(4). */
function decodeAddress({ body }: NetlinkMessage): AddressState | undefined {
  const attributes = decodeAttributes(body.subarray(8));
  const bytes = attributes.get(ADDRESS.local) ?? attributes.get(ADDRESS.address);
  const address = bytes && ipAddressFromBytes(bytes);
  if (address === undefined) return undefined;
  const flags = integer(attributes.get(ADDRESS.flags)) ?? body[2] ?? 0;
  return {
    interfaceIndex: new DataView(body.buffer, body.byteOffset).getUint32(4, true),
    address,
    prefixLength: body[1] ?? 0,
    usable: body[3] === RT_SCOPE_UNIVERSE && (flags & IFA_F_TENTATIVE_DADFAILED_DEPRECATED) === 0,
  };
}

/** struct rtmsg: family(1) dst_len(1) src_len(1) tos(1) table(1) protocol(1) scope(1) type(1) flags(4). */
function decodeDefaultRoute({ body }: NetlinkMessage): DefaultRoute | undefined {
  if (body[1] !== 0 || body[7] !== RTN_UNICAST) return undefined;
  const attributes = decodeAttributes(body.subarray(12));
  const interfaceIndex = integer(attributes.get(ROUTE.outInterface));
  if (interfaceIndex === undefined) return undefined;
  const gateway = attributes.get(ROUTE.gateway);
  return {
    family: body[0] === AF_INET ? "ipv4" : "ipv6",
    interfaceIndex,
    gateway: gateway && ipAddressFromBytes(gateway),
    table: integer(attributes.get(ROUTE.table)) ?? body[4] ?? RT_TABLE_UNSPEC,
    metric: integer(attributes.get(ROUTE.priority)) ?? 0,
    own: body[5] === ROUTE_PROTOCOL,
  };
}

/** The rule in a message, if this project made it; struct fib_rule_hdr, see {@link encodeRule}. */
function decodeOwnRule({ body }: NetlinkMessage): Rule | undefined {
  const attributes = decodeAttributes(body.subarray(12));
  if (integer(attributes.get(RULE.protocol)) !== ROUTE_PROTOCOL) return undefined;
  const bytes = attributes.get(RULE.source);
  const source = bytes && ipAddressFromBytes(bytes);
  const mark = integer(attributes.get(RULE.mark));
  return {
    family: body[0] === AF_INET ? "ipv4" : "ipv6",
    priority: integer(attributes.get(RULE.priority)) ?? 0,
    table: integer(attributes.get(RULE.table)) ?? body[4] ?? 0,
    ...(source && { source }),
    ...(mark !== undefined && { mark }),
  };
}

function encodeRoute({ family, table, kind, interfaceIndex, gateway, destination, metric }: OwnRoute): Uint8Array {
  const scope = kind === "local" ? RT_SCOPE_HOST : gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const type = kind === "local" ? RTN_LOCAL : RTN_UNICAST;
  const bits = destination === undefined ? 0 : 8 * networkBytes(destination).length;
  return concatBytes([
    Uint8Array.of(familyNumber(family), bits, 0, 0, RT_TABLE_UNSPEC, ROUTE_PROTOCOL, scope, type, 0, 0, 0, 0),
    attribute(ROUTE.table, value.uint32(table)),
    attribute(ROUTE.outInterface, value.uint32(interfaceIndex)),
    ...(destination === undefined ? [] : [attribute(ROUTE.destination, networkBytes(destination))]),
    ...(gateway === undefined ? [] : [attribute(ROUTE.gateway, networkBytes(gateway))]),
    ...(metric === undefined ? [] : [attribute(ROUTE.priority, value.uint32(metric))]),
  ]);
}

/** struct fib_rule_hdr: family(1) dst_len(1) src_len(1) tos(1) table(1) res(2) action(1) flags(4). */
function encodeRule({ family, priority, table, source, mark }: Rule): Uint8Array {
  const sourceLength = source === undefined ? 0 : familyOf(source) === "ipv4" ? 32 : 128;
  return concatBytes([
    Uint8Array.of(familyNumber(family), 0, sourceLength, 0, RT_TABLE_UNSPEC, 0, 0, FR_ACT_TO_TABLE, 0, 0, 0, 0),
    attribute(RULE.priority, value.uint32(priority)),
    attribute(RULE.table, value.uint32(table)),
    attribute(RULE.protocol, value.uint8(ROUTE_PROTOCOL)),
    ...(source === undefined ? [] : [attribute(RULE.source, networkBytes(source))]),
    ...(mark === undefined ? [] : [attribute(RULE.mark, value.uint32(mark))]),
  ]);
}
