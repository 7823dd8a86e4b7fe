/**
 * A home with three uplinks, and a gateway with two addresses. Links are cables: what is tested is which subflows there
 * are, not how fast they are.
 *
 *   lan ── hcpe ══ dsl ══ hag ── srv
 *               ══ lte ══
 *               ══ sat ══
 */
import type { LinkSpec, Topology } from "./topology.ts";

export const WIDE = {
  gateway: "10.9.9.9",
  /** The gateway's other address. */
  second: "10.9.8.8",
  server: "10.3.3.2",
} as const;

const UPLINKS = ["dsl", "lte", "sat"] as const;

export const WIDE_HCPE_CONFIG = `
lan: { interfaces: [lan] }
uplinks:
${UPLINKS.map((name, index) => `  - { name: ${name}, interface: ${name}, cost: ${10 * index} }`).join("\n")}
gateways: [ { address: ${WIDE.gateway} } ]
`;

export const WIDE_HAG_CONFIG = `
clients: [ 10.1.0.0/16, "fd11::/32" ]
destinations: { allow: [ 10.3.3.0/24 ] }
`;

export function wideTopology(): Topology {
  const uplinks = UPLINKS.map((name, index): LinkSpec => {
    const net = index + 1;
    return {
      name,
      ends: [
        { node: "hcpe", name, addresses: [`10.1.${net}.2/24`, `fd11:0:0:${net}::2/64`] },
        { node: "hag", name, addresses: [`10.1.${net}.1/24`, `fd11:0:0:${net}::1/64`] },
      ],
    };
  });
  return {
    nodes: {
      lan: {},
      hcpe: { router: true },
      hag: { router: true, loopback: [`${WIDE.gateway}/32`, `${WIDE.second}/32`, "fd99::9/128"] },
      srv: {},
    },
    links: [
      {
        name: "home",
        ends: [
          { node: "lan", name: "eth0", addresses: ["192.168.1.2/24"] },
          { node: "hcpe", name: "lan", addresses: ["192.168.1.1/24"] },
        ],
      },
      ...uplinks,
      {
        name: "server",
        ends: [
          { node: "hag", name: "srv", addresses: ["10.3.3.1/24"] },
          { node: "srv", name: "eth0", addresses: ["10.3.3.2/24"] },
        ],
      },
    ],
    routes: [
      { node: "lan", to: "default", via: "192.168.1.1" },
      ...UPLINKS.flatMap((_, index) => [
        { node: "hcpe", to: "default", via: `10.1.${index + 1}.1`, metric: 10 * (index + 1) },
        { node: "hcpe", to: "default", via: `fd11:0:0:${index + 1}::1`, metric: 10 * (index + 1) },
      ]),
      { node: "srv", to: "default", via: "10.3.3.1" },
    ],
  };
}
