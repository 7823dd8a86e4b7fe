/**
 * A HAG without an HCPE: tests speak Convert to it themselves.
 *
 *   cli ── hag ── srv
 *
 * "cli" has addresses inside and outside the prefixes of `clients`. Everything behind 10.1.9.0/24 and fd11:9::/64 is
 * routed to it too and answered by nobody: source addresses for forged packets. "dark" destinations are routed to "srv",
 * which drops them.
 */
import { Pair } from "./pair.ts";
import type { Topology } from "./topology.ts";

export const GATEWAY = {
  client: "10.1.0.2",
  client6: "fd11::2",
  /** Another customer. */
  neighbour: "10.1.0.3",
  neighbour6: "fd11:0:0:1::3",
  stranger: "10.8.0.2",
  stranger6: "fd18::2",
  /** Prefix of addresses that nobody has, among the customers'. */
  forged: "10.1.9.",
  gateway: "10.9.9.9",
  gateway6: "fd99::9",
  server: "10.3.3.2",
  server6: "fd33::2",
  denied: "10.3.3.66",
  denied6: "fd33::66",
  dark: "10.3.4.1",
  /** Nobody answers for it: the HAG's own ARP fails. */
  unreachable: "10.3.3.99",
  port: 5124,
} as const;

/** A server that does not answer. */
const DARK = `table inet dark {
  chain input {
    type filter hook input priority 0;
    ip daddr 10.3.4.0/24 drop
  }
}
`;

/** Counts what the HAG opens, to its own addresses too: SYNs that it sends without an ACK. */
const COUNT_SYNS = `table inet count {
  counter syns { }
  chain output {
    type filter hook output priority 0;
    tcp flags & (syn | ack) == syn counter name syns
  }
}
`;

function topology(): Topology {
  return {
    nodes: {
      cli: {},
      hag: { router: true, loopback: ["10.9.9.9/32", "fd99::9/128"] },
      srv: {},
    },
    links: [
      {
        name: "access",
        ends: [
          {
            node: "cli",
            name: "eth0",
            addresses: ["10.1.0.2/16", "10.1.0.3/16", "10.8.0.2/24", "fd11::2/32", "fd11:0:0:1::3/32", "fd18::2/64"],
          },
          { node: "hag", name: "cli", addresses: ["10.1.0.1/24", "10.8.0.1/24", "fd11::1/32", "fd18::1/64"] },
        ],
      },
      {
        name: "server",
        ends: [
          { node: "hag", name: "srv", addresses: ["10.3.3.1/24", "fd33::1/64"] },
          { node: "srv", name: "eth0", addresses: ["10.3.3.2/24", "10.3.3.66/24", "fd33::2/64", "fd33::66/64"] },
        ],
      },
    ],
    routes: [
      { node: "cli", to: "default", via: "10.1.0.1" },
      { node: "cli", to: "default", via: "fd11::1" },
      { node: "hag", to: "10.1.9.0/24", via: "10.1.0.2" },
      { node: "hag", to: "10.3.4.0/24", via: "10.3.3.2" },
      { node: "srv", to: "default", via: "10.3.3.1" },
      { node: "srv", to: "default", via: "fd33::1" },
    ],
    firewalls: { hag: COUNT_SYNS, srv: DARK },
  };
}

/** What most tests configure; `extra` follows it. */
export function gatewayConfig(extra = "", workers = 1): string {
  return `
listen: [ { address: "::", port: 5124 } ]
clients: [ 10.1.0.0/16, "fd11::/32" ]
destinations: { allow: [ 10.3.0.0/16, "fd33::/64" ], deny: [ 10.3.3.66/32, "fd33::66/128" ] }
egress: { source: shared }
workers: ${workers}
${extra}
`;
}

/** Builds the lab and starts its HAG. */
export async function gatewayUp(config: string): Promise<Pair> {
  const pair = await Pair.lab(topology());
  try {
    // Fast Open without cookies for the lab's clients.
    await pair.lab.run("cli", ["sysctl", "-qw", "net.ipv4.tcp_fastopen=5", "net.mptcp.blackhole_timeout=0"]);
    await pair.start("hag", config);
    return pair;
  } catch (error) {
    await pair.down();
    throw error;
  }
}

/** SYNs that have left the HAG toward anybody, since the start or the last {@link resetSyns}. */
export async function countSyns(pair: Pair): Promise<number> {
  const listing = await pair.lab.run("hag", ["nft", "list", "counter", "inet", "count", "syns"]);
  return Number(/packets (\d+)/.exec(listing)?.[1]);
}

export async function resetSyns(pair: Pair): Promise<void> {
  await pair.lab.run("hag", ["nft", "reset", "counter", "inet", "count", "syns"]);
}
