/** BIRD's configuration in the lab's farm; docs/farm.md shows the same. */

const AS = 64512;

/** On a director: learns the farm's addresses from table 5199 and announces them. */
export function directorBird(ipv4: string, ipv6: string): string {
  return `
router id ${ipv4};
protocol device { scan time 1; }
ipv4 table farm4;
ipv6 table farm6;
protocol kernel learn4 { learn; scan time 1; kernel table 5199; ipv4 { table farm4; import all; export none; }; }
protocol kernel learn6 { learn; scan time 1; kernel table 5199; ipv6 { table farm6; import all; export none; }; }
protocol bgp router4 {
  local ${ipv4} as ${AS};
  neighbor 10.8.0.1 as ${AS};
  direct;
  connect delay time 1;
  ipv4 { table farm4; import none; export all; next hop self; };
}
protocol bgp router6 {
  local ${ipv6} as ${AS};
  neighbor fd88::1 as ${AS};
  direct;
  connect delay time 1;
  ipv6 { table farm6; import none; export all; next hop self; };
}
`;
}

/** On the router: takes the farm's addresses from every director and balances over all of them. */
export function routerBird(routerId: string, directors: readonly { ipv4: string; ipv6: string }[]): string {
  const peers = directors.map(
    ({ ipv4, ipv6 }, index) => `
protocol bgp director4_${index} {
  local 10.8.0.1 as ${AS};
  neighbor ${ipv4} as ${AS};
  direct;
  connect delay time 1;
  ipv4 { import filter { if net = 10.9.9.9/32 then accept; reject; }; export none; };
}
protocol bgp director6_${index} {
  local fd88::1 as ${AS};
  neighbor ${ipv6} as ${AS};
  direct;
  connect delay time 1;
  ipv6 { import filter { if net = fd99::9/128 then accept; reject; }; export none; };
}`,
  );
  return `
router id ${routerId};
protocol device { scan time 1; }
protocol kernel { merge paths on; ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { merge paths on; ipv6 { import none; export where source = RTS_BGP; }; }
${peers.join("\n")}
`;
}
