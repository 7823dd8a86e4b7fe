/**
 * A farm in the lab: homes with two access networks each, a router that balances by flow (ECMP), gateways on one
 * Ethernet, a Redis, a server.
 *
 *   lan1 ── hcpe1 ══ dsl ══ core ── switch ── gateways, redis
 *                 ══ lte ══    └─── srv
 *
 * The links are cables without rate or delay: what is tested here is where packets go.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { askDaemon } from "@hybrid-access/core/services/admin";
import { commandOf, type LabDaemon, startDaemon } from "./daemon.ts";
import { IS_KERNEL_TESTED } from "./engine-under-test.ts";
import { directorBird, routerBird } from "./farm-bird.ts";
import { Lab } from "./lab.ts";
import { RedisFleet, type RedisPlace } from "./redis.ts";
import type { LinkSpec, NodeSpec, RouteSpec, Topology } from "./topology.ts";
import { until } from "./until.ts";

export const VIRTUAL = { ipv4: "10.9.9.9", ipv6: "fd99::9" } as const;
export const FARM_SERVER = { ipv4: "10.3.3.2", ipv6: "fd33::2" } as const;
/** On the gateways' Ethernet. */
const ROUTER = { ipv4: "10.8.0.1", ipv6: "fd88::1" } as const;
export const FARM_PORT = 5124;
const REDIS = { host: "10.8.0.250", port: 6379 } as const;

/**
 * What the router hashes: addresses, protocol, ports. Its policy 3 reads them from the packet, as other routers must; with
 * policy 1 Linux goes by the hash that the sending host's kernel has noted, and a flow moves with each retransmission.
 */
const ADDRESSES_AND_PORTS = 0x37;

/** A gateway of the lab's farm. */
export interface Gateway {
  readonly name: string;
  readonly role: "director" | "converter" | "both";
  readonly weight?: number;
}

export interface FarmOptions {
  readonly homes: number;
  /** All that may ever run; {@link FarmLab.start} starts one. */
  readonly gateways: readonly Gateway[];
  readonly steering?: "steer" | "announce";
  /** Directors announce the farm's addresses to the router by BIRD; {@link FarmLab.route} is not to be used then. */
  readonly bird?: boolean;
  /** One server unless told otherwise. */
  readonly redis?: "single" | "cluster";
  /** Lines for every gateway's configuration: under `farm`, and beside it. */
  readonly farmSettings?: readonly string[];
  readonly settings?: string;
}

function gatewayAddress(index: number) {
  return { ipv4: `10.8.0.${11 + index}`, ipv6: `fd88::${11 + index}` };
}

function homeTopology(home: number): { nodes: Record<string, NodeSpec>; links: LinkSpec[]; routes: RouteSpec[] } {
  const [lan, hcpe] = [`lan${home}`, `hcpe${home}`];
  const accesses = ["dsl", "lte"].map((name, index): LinkSpec => {
    const net = 2 * home + index;
    return {
      name: `${name}${home}`,
      ends: [
        { node: hcpe, name, addresses: [`10.1.${net}.2/24`, `fd11:${net}::2/64`] },
        { node: "core", name: `${name}${home}`, addresses: [`10.1.${net}.1/24`, `fd11:${net}::1/64`] },
      ],
    };
  });
  const routes = [0, 1].flatMap((index): RouteSpec[] => [
    { node: hcpe, to: "default", via: `10.1.${2 * home + index}.1`, metric: 10 * (index + 1) },
    { node: hcpe, to: "default", via: `fd11:${2 * home + index}::1`, metric: 10 * (index + 1) },
  ]);
  const cable: LinkSpec = {
    name: lan,
    ends: [
      { node: lan, name: "eth0", addresses: ["192.168.1.2/24", "fd01::2/64"] },
      { node: hcpe, name: "lan", addresses: ["192.168.1.1/24", "fd01::1/64"] },
    ],
  };
  return {
    nodes: { [lan]: {}, [hcpe]: { router: true } },
    links: [cable, ...accesses],
    routes: [{ node: lan, to: "default", via: "192.168.1.1" }, { node: lan, to: "default", via: "fd01::1" }, ...routes],
  };
}

/** A port of the switch. */
function onSwitch(node: string, addresses: readonly string[]): LinkSpec {
  return {
    name: `farm-${node}`,
    ends: [
      { node: "switch", name: node, addresses: [] },
      { node, name: "farm", addresses },
    ],
  };
}

function farmTopology({ homes, gateways }: FarmOptions): Topology {
  const parts = Array.from({ length: homes }, (_, index) => homeTopology(index + 1));
  const names = gateways.map(({ name }) => name);
  return {
    nodes: {
      core: { router: true },
      switch: { bridge: true },
      srv: {},
      redis: {},
      ...Object.fromEntries(names.map((name) => [name, { router: !IS_KERNEL_TESTED }])),
      ...Object.assign({}, ...parts.map(({ nodes }) => nodes)),
    },
    links: [
      ...parts.flatMap(({ links }) => links),
      onSwitch("core", [`${ROUTER.ipv4}/24`, `${ROUTER.ipv6}/64`]),
      onSwitch("redis", [`${REDIS.host}/24`]),
      ...gateways.map(({ name }, index) => {
        const { ipv4, ipv6 } = gatewayAddress(index);
        return onSwitch(name, [`${ipv4}/24`, `${ipv6}/64`]);
      }),
      {
        name: "server",
        ends: [
          { node: "core", name: "srv", addresses: ["10.3.3.1/24", "fd33::1/64"] },
          { node: "srv", name: "eth0", addresses: ["10.3.3.2/24", "fd33::2/64"] },
        ],
      },
    ],
    routes: [
      ...parts.flatMap(({ routes }) => routes),
      ...names.flatMap((node): RouteSpec[] => [
        { node, to: "default", via: ROUTER.ipv4 },
        { node, to: "default", via: ROUTER.ipv6 },
      ]),
      { node: "srv", to: "default", via: "10.3.3.1" },
      { node: "srv", to: "default", via: "fd33::1" },
    ],
  };
}

const HCPE = (gateway: string) => `
lan: { interfaces: [lan] }
uplinks:
  - { name: dsl, interface: dsl, cost: 0 }
  - { name: lte, interface: lte, cost: 10 }
gateways: [ { address: "${gateway}", port: ${FARM_PORT} } ]
log: { level: debug }
`;

/** What `hag farm status --json` says, as far as tests look at it. */
export interface FarmStatus {
  readonly state: string;
  readonly registry: {
    readonly connected: boolean;
    readonly unanswered: number;
    readonly corrupt: number;
    readonly foreign: number;
  };
  readonly nodes: readonly { readonly node: string; readonly state: string; readonly load: number }[];
  readonly clientLimits?: { readonly mode: string; readonly clients: number; readonly connections: number };
  readonly cookieKeys?: { readonly mode: string; readonly keys: number };
  readonly published?: { readonly tokens: number; readonly collisions: number; readonly failed: number };
  readonly director?: Readonly<Record<string, number>> & { readonly waited: readonly number[] };
}

/** What `hcpe status --json` says, as far as tests look at it. */
export interface HomeStatus {
  readonly gateways: readonly { readonly up: boolean }[];
  readonly counters: Readonly<Record<string, number>>;
}

export class FarmLab {
  readonly lab: Lab;
  readonly #options: FarmOptions;
  readonly #directory = mkdtempSync(join(tmpdir(), "hybrid-access-farm-"));
  readonly #daemons = new Map<string, LabDaemon>();
  #redis: RedisFleet | undefined;

  private constructor(lab: Lab, options: FarmOptions) {
    this.lab = lab;
    this.#options = options;
  }

  /** Builds the lab with its Redis, and starts these gateways, then a HCPE in every home. */
  static async up(options: FarmOptions, running: readonly string[]): Promise<FarmLab> {
    const farm = new FarmLab(await Lab.up(farmTopology(options)), options);
    try {
      for (const family of ["ipv4", "ipv6"]) {
        const hash = `net.${family}.fib_multipath_hash`;
        await farm.lab.run("core", ["sysctl", "-qw", `${hash}_fields=${ADDRESSES_AND_PORTS}`, `${hash}_policy=3`]);
      }
      await farm.startRedis();
      await Promise.all(running.map((name) => farm.start(name)));
      // Without steering the router spreads initial subflows over the converters themselves.
      const steers = options.steering !== "announce";
      const directors = running.filter((name) => !steers || farm.#gateway(name).role !== "converter");
      if (options.bird) await farm.#startBirds(directors);
      else await farm.route(directors);
      await Promise.all(Array.from({ length: options.homes }, (_, index) => farm.startHome(index + 1)));
      return farm;
    } catch (error) {
      await farm.down();
      throw error;
    }
  }

  /** The processes of an earlier start are gone already. */
  async startRedis(): Promise<void> {
    await this.#redis?.close();
    const place: RedisPlace = {
      host: REDIS.host,
      ports: async (count) => Array.from({ length: count }, (_, index) => REDIS.port + index),
      spawn: (command) => this.lab.spawn("redis", command, { stdio: "ignore" }),
      run: (command) => this.lab.run("redis", command),
    };
    const cluster = this.#options.redis === "cluster";
    this.#redis = await (cluster ? RedisFleet.cluster(1, place) : RedisFleet.single(undefined, place));
  }

  /** BIRD on the router and on these gateways, as docs/farm.md has it. */
  async #startBirds(directors: readonly string[]): Promise<void> {
    const addresses = directors.map((name) =>
      gatewayAddress(this.#options.gateways.findIndex((gateway) => gateway.name === name)),
    );
    this.#startBird("core", routerBird(ROUTER, VIRTUAL, addresses));
    directors.forEach((name, index) => {
      this.#startBird(name, directorBird(addresses[index] ?? gatewayAddress(0), ROUTER));
    });
    await until(async () => (await this.routesToFarm()).every((hops) => hops === directors.length), {
      what: "the router has learnt the ways to the farm",
      limitMs: 20_000,
    });
  }

  #startBird(node: string, config: string): void {
    const file = join(this.#directory, `bird-${node}.conf`);
    writeFileSync(file, config);
    const command = ["bird", "-f", "-c", file, "-s", join(this.#directory, `bird-${node}.ctl`)];
    this.lab.spawn(node, command, { stdio: "ignore" });
  }

  /** How many ways the router has to the farm's address, IPv4 and IPv6. */
  async routesToFarm(): Promise<number[]> {
    const shown = await Promise.all(
      [["-4", VIRTUAL.ipv4] as const, ["-6", VIRTUAL.ipv6] as const].map(([family, address]) =>
        this.lab.run("core", ["ip", family, "route", "show", address]),
      ),
    );
    return shown.map((routes) => (routes.match(/ via /g) ?? []).length);
  }

  get redis(): RedisFleet {
    if (this.#redis === undefined) throw new Error("Redis was not started");
    return this.#redis;
  }

  #gateway(name: string): Gateway {
    const found = this.#options.gateways.find((gateway) => gateway.name === name);
    if (found === undefined) throw new RangeError(`no gateway is called ${name}`);
    return found;
  }

  #config(name: string): string {
    const { role, weight = 100 } = this.#gateway(name);
    const { ipv4, ipv6 } = gatewayAddress(this.#options.gateways.findIndex((gateway) => gateway.name === name));
    return `
listen: [ { address: "::", port: ${FARM_PORT} } ]
clients: [ 10.1.0.0/16, "fd11::/16" ]
destinations: { allow: [ 10.3.3.0/24, "fd33::/64" ] }
farm:
  steering: ${this.#options.steering ?? "steer"}
  node: ${name}
  role: ${role}
  weight: ${weight}
  virtualAddresses: [ ${VIRTUAL.ipv4}, "${VIRTUAL.ipv6}" ]
  addresses: [ ${ipv4}, "${ipv6}" ]
  network: [ 10.8.0.0/24, "fd88::/64" ]
${(this.#options.farmSettings ?? []).map((line) => `  ${line}\n`).join("")}  redis: { mode: ${this.#options.redis ?? "single"}, servers: [ { host: ${REDIS.host}, port: ${REDIS.port} }, { host: ${REDIS.host}, port: ${REDIS.port + 1} } ] }
${this.#options.settings ?? ""}
`;
  }

  #write(name: string, config: string): string {
    const file = join(this.#directory, `${name}.yaml`);
    writeFileSync(file, `${config}\nadmin: { socket: ${this.#adminSocket(name)} }\n`);
    return file;
  }

  #adminSocket(name: string): string {
    return join(this.#directory, name, "admin.sock");
  }

  /**
   * Starts a gateway, with another configuration if `change` makes one. It gets nothing from the router before
   * {@link route} names it.
   */
  async start(name: string, change = (config: string) => config): Promise<LabDaemon> {
    const daemon = await startDaemon(this.lab, name, "hag", this.#write(name, change(this.#config(name))));
    this.#daemons.set(name, daemon);
    return daemon;
  }

  /**
   * Starts a home's HCPE, whose kernel's counters tests read, whatever engine the gateways have; every second one knows
   * the farm by its IPv6 address.
   */
  async startHome(home: number): Promise<LabDaemon> {
    const name = `hcpe${home}`;
    const address = home % 2 === 1 ? VIRTUAL.ipv4 : VIRTUAL.ipv6;
    const file = this.#write(name, HCPE(address));
    const daemon = await startDaemon(this.lab, name, "hcpe", file, "--set", "engine=kernel");
    this.#daemons.set(name, daemon);
    return daemon;
  }

  daemon(name: string): LabDaemon {
    const daemon = this.#daemons.get(name);
    if (daemon === undefined) throw new Error(`${name} was not started`);
    return daemon;
  }

  /** The router sends flows to the virtual addresses to these gateways, each its share. */
  async route(names: readonly string[]): Promise<void> {
    const indices = names.map((name) => this.#options.gateways.findIndex((gateway) => gateway.name === name));
    for (const family of ["ipv4", "ipv6"] as const) {
      const hops = indices.flatMap((index) => ["nexthop", "via", gatewayAddress(index)[family]]);
      const [flag, length] = family === "ipv4" ? ["-4", 32] : ["-6", 128];
      await this.lab.run("core", ["ip", flag, "route", "replace", `${VIRTUAL[family]}/${length}`, ...hops]);
    }
  }

  /** What `hag farm status --json` says, asked of the daemon itself: starting the command costs a quarter of a second. */
  async farmStatus(name: string): Promise<FarmStatus> {
    return (await this.#ask(name, "/farm")) as FarmStatus;
  }

  async #ask(name: string, question: string): Promise<unknown> {
    return await askDaemon(this.#adminSocket(name), question);
  }

  /** The counters of `hag status`. */
  async gatewayCounters(name: string): Promise<Readonly<Record<string, number>>> {
    return ((await this.#ask(name, "/status")) as HomeStatus).counters;
  }

  /** What a home's HCPE says of itself. */
  async homeStatus(home: number): Promise<HomeStatus> {
    return (await this.#ask(`hcpe${home}`, "/status")) as HomeStatus;
  }

  /** Whether a home's HCPE sends new connections through the farm, and not direct. */
  async isUsedBy(home: number): Promise<boolean> {
    return (await this.homeStatus(home)).gateways.every(({ up }) => up);
  }

  /** What a home's HCPE, its kernel and the directors that answer count of connections and joins, by name. */
  async steeringCounters(home: number): Promise<Readonly<Record<string, number>>> {
    const counted: Record<string, unknown>[] = [
      (await this.homeStatus(home)).counters,
      prefixed("kernel", this.#kernelCounters(`hcpe${home}`, /^MP|FastOpen|Retrans|Timeouts/)),
    ];
    for (const { name } of this.#options.gateways) {
      if (!this.#daemons.has(name)) continue;
      counted.push(prefixed(`${name}.kernel`, this.#kernelCounters(name, /^MP|FastOpen|Listen/)));
      const { director } = await this.farmStatus(name).catch((): Partial<FarmStatus> => ({}));
      counted.push(prefixed(name, director ?? {}));
    }
    const all = counted.flatMap((counters) => Object.entries(counters));
    return Object.fromEntries(all.filter((entry): entry is [string, number] => typeof entry[1] === "number"));
  }

  async run(name: string, ...args: string[]): Promise<string> {
    return await this.lab.run(name, commandOf("hag", ...args, "--config", join(this.#directory, `${name}.yaml`)));
  }

  /** What the kernel of a node counts of Multipath TCP (MPTcpExt of /proc/net/netstat). */
  multipathCounters(node: string): Readonly<Record<string, number>> {
    return this.#kernelCounters(node, /^MP/);
  }

  /** Counters of /proc/net/netstat, a line of names before each line of numbers. */
  #kernelCounters(node: string, wanted: RegExp): Readonly<Record<string, number>> {
    const lines = this.lab.inside(node, () => readFileSync("/proc/self/net/netstat", "utf8")).split("\n");
    const counters: Record<string, number> = {};
    for (let line = 0; line + 1 < lines.length; line += 2) {
      const [names = [], values = []] = lines.slice(line, line + 2).map((text) => text.split(" ").slice(1));
      for (const [index, name] of names.entries()) if (wanted.test(name)) counters[name] = Number(values[index]);
    }
    return counters;
  }

  async down(): Promise<void> {
    for (const daemon of this.#daemons.values()) daemon.process.kill("SIGKILL");
    await sleep(0);
    await this.lab.down();
    await this.#redis?.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function prefixed(place: string, counters: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(counters).map(([name, count]) => [`${place}.${name}`, count]));
}
