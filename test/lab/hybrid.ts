/**
 * The hybrid access topology: a home with DSL and LTE, the operator's network, a server.
 *
 *   lan ── hcpe ══ dsl (rdsl) ══ hag ── srv
 *               ══ lte (rlte) ══
 *
 * The node "hag" is also the operator's core router: with no HAG process the home's packets still reach the server.
 * The node "hcpe" is an ordinary home router: it forwards, masquerades IPv4, and prefers DSL.
 */
import type { LinkOptions } from "@hybrid-access/core/testing/link";
import type { Emulation, Topology } from "./topology.ts";

export const ADDRESS = {
  lanHost: "192.168.1.2",
  lanHost6: "fd01::2",
  hcpeLan: "192.168.1.1",
  dsl: "10.1.1.2",
  lte: "10.1.2.2",
  gateway: "10.9.9.9",
  gateway6: "fd99::9",
  server: "10.3.3.2",
  server6: "fd33::2",
} as const;

/** One access network, in both directions. */
export interface AccessOptions {
  readonly down: LinkOptions;
  readonly up: LinkOptions;
}

const MEGABIT = 1_000_000;

/** Rate in Mbit/s and one-way delay; the queue holds 100 ms, or 64 kB if that is more. */
export function access(rateMegabits: number, delayMs: number): LinkOptions {
  const rateBitsPerSecond = rateMegabits * MEGABIT;
  return { rateBitsPerSecond, delayMs, queueBytes: Math.max(65_536, rateBitsPerSecond / 80) };
}

/** DSL 20/5 Mbit/s with 20 ms round trip, LTE 30/10 Mbit/s with 50 ms. */
export const DEFAULT_ACCESS: { readonly dsl: AccessOptions; readonly lte: AccessOptions } = {
  dsl: { down: access(20, 10), up: access(5, 10) },
  lte: { down: access(30, 25), up: access(10, 25) },
};

function emulation({ up, down }: AccessOptions): Emulation {
  return { forward: up, backward: down };
}

/** The topology with these access links; links without rates are cables that add nothing. */
export function hybridTopology({ dsl, lte } = DEFAULT_ACCESS): Topology {
  return {
    nodes: {
      lan: {},
      hcpe: { router: true },
      rdsl: { router: true },
      rlte: { router: true },
      hag: { router: true, loopback: ["10.9.9.9/32", "fd99::9/128"] },
      srv: {},
    },
    links: [
      {
        name: "lan",
        ends: [
          { node: "lan", name: "eth0", addresses: ["192.168.1.2/24", "fd01::2/64"] },
          { node: "hcpe", name: "lan", addresses: ["192.168.1.1/24", "fd01::1/64"] },
        ],
      },
      {
        name: "dsl",
        ends: [
          { node: "hcpe", name: "dsl", addresses: ["10.1.1.2/24", "fd11::2/64"] },
          { node: "rdsl", name: "cpe", addresses: ["10.1.1.1/24", "fd11::1/64"] },
        ],
        emulation: emulation(dsl),
      },
      {
        name: "lte",
        ends: [
          { node: "hcpe", name: "lte", addresses: ["10.1.2.2/24", "fd12::2/64"] },
          { node: "rlte", name: "cpe", addresses: ["10.1.2.1/24", "fd12::1/64"] },
        ],
        emulation: emulation(lte),
      },
      coreLink("rdsl", "dsl", 1),
      coreLink("rlte", "lte", 2),
      {
        name: "server",
        ends: [
          { node: "hag", name: "srv", addresses: ["10.3.3.1/24", "fd33::1/64"] },
          { node: "srv", name: "eth0", addresses: ["10.3.3.2/24", "fd33::2/64"] },
        ],
      },
    ],
    routes: [
      ...bothFamilies("lan", "default", "192.168.1.1", "default", "fd01::1"),
      ...bothFamilies("hcpe", "default", "10.1.1.1", "default", "fd11::1", 10),
      ...bothFamilies("hcpe", "default", "10.1.2.1", "default", "fd12::1", 20),
      ...bothFamilies("rdsl", "default", "10.2.1.2", "default", "fd21::2"),
      ...bothFamilies("rlte", "default", "10.2.2.2", "default", "fd22::2"),
      ...bothFamilies("hag", "10.1.1.0/24", "10.2.1.1", "fd11::/64", "fd21::1"),
      ...bothFamilies("hag", "10.1.2.0/24", "10.2.2.1", "fd12::/64", "fd22::1"),
      { node: "hag", to: "fd01::/64", via: "fd21::1" },
      { node: "rdsl", to: "fd01::/64", via: "fd11::2" },
      { node: "rlte", to: "fd01::/64", via: "fd12::2" },
      ...bothFamilies("srv", "default", "10.3.3.1", "default", "fd33::1"),
    ],
    firewalls: { hcpe: HOME_NAT },
  };
}

/** The same with cables for access links: no delay, and no rate but the host's. */
export function cableTopology(): Topology {
  const { links, ...rest } = hybridTopology();
  return { ...rest, links: links.map(({ emulation: _emulation, ...link }) => link) };
}

/** What a home router has of its own: IPv4 leaves from the uplink's address. */
const HOME_NAT = `table ip home {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname { "dsl", "lte" } masquerade
  }
}
`;

function coreLink(router: string, name: string, network: number): Topology["links"][number] {
  return {
    name: `core-${name}`,
    ends: [
      { node: router, name: "core", addresses: [`10.2.${network}.1/24`, `fd2${network}::1/64`] },
      { node: "hag", name, addresses: [`10.2.${network}.2/24`, `fd2${network}::2/64`] },
    ],
  };
}

function bothFamilies(node: string, to4: string, via4: string, to6: string, via6: string, metric?: number) {
  const rest = metric === undefined ? {} : { metric };
  return [
    { node, to: to4, via: via4, ...rest },
    { node, to: to6, via: via6, ...rest },
  ];
}
