/** BIRD's configuration in the lab's farm; docs/farm.md shows the same (test/unit/docs/farm.test.ts). */

const AS = 64512;

/** An address of each family. */
export interface Addresses {
  readonly ipv4: string;
  readonly ipv6: string;
}

const FAMILIES = [
  { family: "ipv4", number: 4, length: 32 },
  { family: "ipv6", number: 6, length: 128 },
] as const;

function session(name: string, local: string, neighbor: string, channel: string): string {
  return `protocol bgp ${name} {
  local ${local} as ${AS};
  neighbor ${neighbor} as ${AS};
  direct;
  connect delay time 1;
  ${channel}
}`;
}

/** On a director: learns the farm's addresses from table 5199 and announces them to the router. */
export function directorBird(own: Addresses, router: Addresses): string {
  return `${[
    `router id ${own.ipv4};`,
    "protocol device { scan time 1; }",
    ...FAMILIES.map(({ family, number }) => `${family} table farm${number};`),
    ...FAMILIES.map(
      ({ family, number }) => `protocol kernel learn${number} {
  learn;
  scan time 1;
  kernel table 5199;
  ${family} { table farm${number}; import all; export none; };
}`,
    ),
    ...FAMILIES.map(({ family, number }) => {
      const channel = `${family} { table farm${number}; import none; export all; next hop self; };`;
      return session(`router${number}`, own[family], router[family], channel);
    }),
  ].join("\n")}\n`;
}

/** On the router: takes the farm's addresses from every director and balances over all of them. */
export function routerBird(router: Addresses, farm: Addresses, directors: readonly Addresses[]): string {
  return `${[
    `router id ${router.ipv4};`,
    "protocol device { scan time 1; }",
    ...FAMILIES.map(
      ({ family }) => `protocol kernel { merge paths on; ${family} { import none; export where source = RTS_BGP; }; }`,
    ),
    ...directors.flatMap((director, index) =>
      FAMILIES.map(({ family, number, length }) => {
        const filter = `filter { if net = ${farm[family]}/${length} then accept; reject; }`;
        const channel = `${family} { import ${filter}; export none; };`;
        return session(`director${number}_${index + 1}`, router[family], director[family], channel);
      }),
    ),
  ].join("\n")}\n`;
}
