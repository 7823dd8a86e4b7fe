/**
 * What a farm adds to a host: an nftables table of its own, and for each other node a firewall mark with a rule and a
 * table that lead there. Forwarding changes no address, so the node answers the client itself.
 *
 * The virtual address is on no interface: packets to it that are for this node get the mark of transparent sockets. So
 * a node answers for no connection that is not its own, and every node can be a director too.
 *
 * Packets of one direction only pass a director, of which connection tracking makes nothing; a map of flows takes its
 * place. What one director has steered carries a code point of RFC 2474's pool for local use, by which the next one
 * knows it.
 */
import { type Family, familyOf, formatIpAddress, type IpAddress } from "@hybrid-access/core/base/ip-address";
import { contains, makePrefix } from "@hybrid-access/core/base/prefix";
import { appendFlowRule, appendQueueRule } from "@hybrid-access/core/platform/netlink/nftables-rule";
import { RenewedElements } from "@hybrid-access/core/platform/netlink/nftables-set";
import type { AddressState, OwnRoute, Rule } from "@hybrid-access/core/platform/netlink/route";
import { applyRulesMeanwhile, removeTable, replaceTable } from "@hybrid-access/core/services/host/nftables";
import {
  addTransparentRouting,
  type OwnRouting,
  TRANSPARENT_MARK,
} from "@hybrid-access/core/services/host/transparent-routing";

const TABLE = "hybrid_access_farm";
/** The number of the queue and of the log group, and the first of the marks, tables and priorities of other nodes. */
export const QUEUE = 5124;
const FIRST_MARK = 0x5200;
const FIRST_TABLE = 5200;
/**
 * The mark of what is for this node: it leads to sockets, or says nothing to a kernel that routes what comes for the
 * virtual address to an engine with a network of its own.
 */
const LOCAL_MARK = { sockets: TRANSPARENT_MARK, engine: FIRST_MARK - 1 } as const;
/** Code point 111011: "xxxx11" are for local use. */
const STEERED_DSCP = 59;
/** Flows that a director knows at once; about 100 bytes each. Those beyond are looked up packet by packet. */
const MOST_FLOWS = 262_144;
/** Of a flow that is silent for longer, the owner is looked up again. */
const FLOW_LIFE = "10m";

export interface FarmRules {
  readonly virtualAddresses: readonly IpAddress[];
  readonly ports: readonly number[];
  readonly directs: boolean;
  readonly converts: boolean;
  /** What takes the connections that are for this node. */
  readonly taker: Taker;
}

export type Taker = "sockets" | "engine";

export function localMark(taker: Taker): number {
  return LOCAL_MARK[taker];
}

/** The set that tells that this host's director decides: for each family its number (NFPROTO_*). */
const ALIVE = "alive";
const PROTOCOLS = [Uint8Array.of(2), Uint8Array.of(10)];

/** While they are renewed, packets are handed to the director. */
export function directorElements(): RenewedElements {
  return new RenewedElements(TABLE, ALIVE, PROTOCOLS);
}

/** The names that nft has for what depends on the family. */
const WORDS = { ipv4: { ip: "ip", suffix: "4" }, ipv6: { ip: "ip6", suffix: "6" } } as const;

const NEW_SYN = "tcp flags & (fin|syn|rst|ack) == syn";
const SUBTYPE_JOIN = 1;
/** The third ACK of a handshake, and the first data: both have the gateway's key (RFC 8684 section 3.1). */
const HAS_KEY = "tcp option mptcp subtype 0 tcp option mptcp length { 20, 22, 24 }";

/** Creates the table. Throws an AccessError or SystemError when the kernel lacks something. */
export function addFarmRules(rules: FarmRules): void {
  const { virtualAddresses, directs, converts, taker } = rules;
  const chains = directs ? [`set ${ALIVE} {\ntypeof meta nfproto\nflags timeout\n}`] : [];
  chains.push(...virtualAddresses.flatMap((address) => (directs ? directorRules(rules, address) : [])));
  if (converts && taker === "sockets") chains.push(converterRules(rules));
  replaceTable(TABLE, chains.join("\n"));
  if (directs) {
    for (const family of virtualAddresses.map(familyOf)) {
      const { suffix } = WORDS[family];
      appendQueueRule(TABLE, `ask${suffix}`, QUEUE);
      appendFlowRule(TABLE, `mark${suffix}`, `flows${suffix}`, family);
    }
  }
}

function match({ ports }: FarmRules, address: IpAddress): string {
  const { ip } = WORDS[familyOf(address)];
  return `${ip} daddr ${formatIpAddress(address)} tcp dport { ${ports.join(", ")} }`;
}

/**
 * What is for this node, by its mark or because nobody directs here, is delivered to the socket that has the connection
 * or listens. Without one it is refused, as a host refuses for its own addresses: after a crash clients need not wait.
 */
function converterRules(rules: FarmRules): string {
  const mark = LOCAL_MARK.sockets;
  const lines = rules.virtualAddresses.flatMap((address) => {
    const local = rules.directs ? `${match(rules, address)} meta mark ${mark}` : match(rules, address);
    return [`${local} socket transparent 1 meta mark set ${mark} accept`, `${local} reject with tcp reset`];
  });
  return `chain receive {\ntype filter hook prerouting priority mangle\n${lines.join("\n")}\n}`;
}

/**
 * classify: what another director has steered is for this node; a SYN is asked about, a known flow has its mark (the
 * director gets a copy of what has the gateway's key), an unknown one is asked about. ask: not when the director has
 * shown no life, as the queue would keep thousands of packets for it first. deliver: what has no mark (nobody decides)
 * goes to a node by hash, but no subflow does: a wrong node would reset it, whereas its client repeats what is dropped.
 * At its end the flow's mark is remembered (addFarmRules).
 */
function directorRules(rules: FarmRules, address: IpAddress): string[] {
  const { ip, suffix } = WORDS[familyOf(address)];
  const flow = `${ip} saddr . tcp sport . tcp dport`;
  const chosen = match(rules, address);
  const mark = localMark(rules.taker);
  const steered = rules.converts ? `${ip} dscp ${STEERED_DSCP} meta mark set ${mark} return\n` : "";
  const notAgain = rules.converts ? `${ip} dscp ${STEERED_DSCP} return\n` : "";
  return [
    `map flows${suffix} {
      typeof ${flow} : meta mark
      flags dynamic,timeout
      timeout ${FLOW_LIFE}
      size ${MOST_FLOWS}
    }`,
    `chain ask${suffix} {
      meta nfproto != @${ALIVE} return
    }`,
    `chain fallback${suffix} {\n}`,
    `chain steer${suffix} {
      ${steered}${NEW_SYN} goto ask${suffix}
      ${HAS_KEY} meta mark set ${flow} map @flows${suffix} log group ${QUEUE}
      meta mark set ${flow} map @flows${suffix} return
      goto ask${suffix}
    }`,
    `chain mark${suffix} {
      ${notAgain}meta mark 0 jump fallback${suffix}
      meta mark 0 drop
      meta mark != ${mark} ${ip} dscp set ${STEERED_DSCP}
    }`,
    `chain untracked${suffix} {
      type filter hook prerouting priority raw
      ${chosen} notrack
    }`,
    `chain classify${suffix} {
      type filter hook prerouting priority mangle - 10
      ${chosen} jump steer${suffix}
    }`,
    `chain deliver${suffix} {
      type filter hook prerouting priority mangle - 5
      ${chosen} jump mark${suffix}
    }`,
  ];
}

/** What the kernel does by itself while the director is away: new connections to these marks in turn, by hash. */
export async function setFallback(virtualAddresses: readonly IpAddress[], marks: readonly number[]): Promise<void> {
  const lines = virtualAddresses.flatMap((address) => {
    const { ip, suffix } = WORDS[familyOf(address)];
    const chain = `inet ${TABLE} fallback${suffix}`;
    const hash = `jhash ${ip} saddr . tcp sport mod ${marks.length}`;
    const targets = marks.map((mark, index) => `${index} : ${mark}`).join(", ");
    return [
      `flush chain ${chain}`,
      `add rule ${chain} tcp option mptcp subtype ${SUBTYPE_JOIN} drop`,
      `add rule ${chain} tcp flags & syn == 0 tcp option mptcp exists drop`,
      ...(marks.length === 0 ? [] : [`add rule ${chain} meta mark set ${hash} map { ${targets} }`]),
    ];
  });
  await applyRulesMeanwhile(`${lines.join("\n")}\n`);
}

export function removeFarmRules(): void {
  removeTable(TABLE);
}

/** Other nodes in the life of a process. */
const MOST_SLOTS = 1024;

/** The ways to other nodes: each has a number of its own for as long as this process lives. */
export class NodeRoutes {
  readonly #client: OwnRouting;
  readonly #slots = new Map<string, number>();
  readonly #added = new Map<string, string>();

  constructor(client: OwnRouting) {
    this.#client = client;
  }

  /** What is for this node is delivered here, whatever its address. */
  addLocal(): void {
    addTransparentRouting(this.#client);
  }

  /** Makes the way to a node. Gives its mark, or undefined when no link of this host leads there directly. */
  reach(name: string, addresses: readonly IpAddress[], own: readonly AddressState[]): number | undefined {
    const slot = this.#slots.get(name) ?? this.#slots.size;
    const routes = addresses.map((gateway) => ({ gateway, link: linkTo(gateway, own) }));
    if (slot >= MOST_SLOTS || routes.some(({ link }) => link === undefined)) return undefined;
    this.#slots.set(name, slot);
    const description = JSON.stringify(routes.map(({ gateway, link }) => [formatIpAddress(gateway), link]));
    if (this.#added.get(name) !== description) {
      for (const { gateway, link = 0 } of routes) this.#add(slot, familyOf(gateway), gateway, link);
      this.#added.set(name, description);
    }
    return FIRST_MARK + slot;
  }

  #add(slot: number, family: Family, gateway: IpAddress, interfaceIndex: number): void {
    const table = FIRST_TABLE + slot;
    const route: OwnRoute = { family, table, kind: "unicast", interfaceIndex, gateway };
    const rule: Rule = { family, priority: table, table, mark: FIRST_MARK + slot };
    this.#client.addRoute(route);
    this.#client.addRule(rule);
  }
}

function linkTo(gateway: IpAddress, own: readonly AddressState[]): number | undefined {
  return own.find(({ address, prefixLength }) => {
    if (familyOf(address) !== familyOf(gateway)) return false;
    const length = familyOf(address) === "ipv4" ? 96 + prefixLength : prefixLength;
    return contains(makePrefix(address, length), gateway);
  })?.interfaceIndex;
}
