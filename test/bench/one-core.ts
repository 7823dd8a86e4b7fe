/**
 * The one-core layout: client, server and everything between them share one CPU, so that a rate is the whole chain's
 * work on one core and does not depend on which neighbour the scheduler chose. Spread over CPUs the same test varies
 * several times over.
 *
 *   lan ── hcpe ── hag ── srv        the product; it takes over the TCP connections that pass here
 *       ── access ── core ──         nobody takes over anything: other relays have addresses of their own
 */
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Pair } from "../lab/pair.ts";
import type { LinkSpec, Topology } from "../lab/topology.ts";
import { CpuMeter } from "./cpu-meter.ts";

/** How many addresses of its own a relay's node has: each variant of the relay listens on one of them. */
const RELAY_ADDRESSES = 8;

/** The nodes of relays that are not the product's daemons. */
export type RelayNode = "access" | "core";

export const ADDRESS = {
  /** The server of one hop, on the node "core". */
  hopServer: "10.2.2.2",
  /** The server of both hops, on the node "srv": through the product. */
  carriedServer: "10.3.3.2",
  /** The same server, past it. */
  server: "10.4.4.2",
} as const;

/** An address of the relay with this number on its node. */
export function relayAddress(node: RelayNode, index: number): string {
  if (index >= RELAY_ADDRESSES) throw new RangeError("too many relays");
  return `10.8.${node === "access" ? 1 : 2}.${index + 1}`;
}

function relayAddresses(node: RelayNode): string[] {
  return Array.from({ length: RELAY_ADDRESSES }, (_, index) => `${relayAddress(node, index)}/32`);
}

type End = readonly [node: string, name: string, address: string];

function cable(name: string, left: End, right: End): LinkSpec {
  const end = ([node, device, address]: End) => ({ node, name: device, addresses: [address] });
  return { name, ends: [end(left), end(right)] };
}

const TOPOLOGY: Topology = {
  nodes: {
    lan: {},
    hcpe: { router: true },
    hag: { router: true, loopback: ["10.9.9.9/32"] },
    access: { router: true, loopback: relayAddresses("access") },
    core: { router: true, loopback: relayAddresses("core") },
    srv: {},
  },
  links: [
    cable("lan", ["lan", "eth0", "192.168.1.2/24"], ["hcpe", "lan", "192.168.1.1/24"]),
    cable("dsl", ["hcpe", "dsl", "10.1.1.2/24"], ["hag", "dsl", "10.1.1.1/24"]),
    cable("server", ["hag", "srv", "10.3.3.1/24"], ["srv", "eth0", `${ADDRESS.carriedServer}/24`]),
    cable("lan2", ["lan", "eth1", "192.168.2.2/24"], ["access", "lan", "192.168.2.1/24"]),
    cable("access", ["access", "core", "10.2.2.1/24"], ["core", "access", `${ADDRESS.hopServer}/24`]),
    cable("server2", ["core", "srv", "10.4.4.1/24"], ["srv", "eth1", `${ADDRESS.server}/24`]),
  ],
  routes: [
    { node: "lan", to: "default", via: "192.168.1.1" },
    { node: "hcpe", to: "default", via: "10.1.1.1" },
    { node: "hag", to: "192.168.1.0/24", via: "10.1.1.2" },
    { node: "srv", to: "default", via: "10.3.3.1" },
    ...["10.2.2.0/24", "10.4.4.0/24", "10.8.0.0/16"].map((to) => ({ node: "lan", to, via: "192.168.2.1" })),
    { node: "access", to: "default", via: ADDRESS.hopServer },
    { node: "core", to: "192.168.2.0/24", via: "10.2.2.1" },
    { node: "srv", to: "192.168.2.0/24", via: "10.4.4.1" },
  ],
};

/**
 * As an operator tunes hosts for this job. Without round-trip time a Multipath TCP connection whose receive window is
 * full stalls for many milliseconds, whoever relays it: the receiver's limit must lie well above the sender's.
 */
const SYSCTLS = [
  "net.ipv4.tcp_rmem=4096 131072 33554432",
  "net.ipv4.tcp_wmem=4096 65536 4194304",
  "net.ipv4.ip_local_port_range=1024 65535",
  "net.ipv4.tcp_tw_reuse=1",
  "net.core.somaxconn=8192",
  "net.ipv4.tcp_max_syn_backlog=16384",
];

export class OneCore {
  readonly pair: Pair;
  readonly cpu: CpuMeter;
  readonly core = firstAllowedCpu(readFileSync("/proc/self/status", "utf8"));

  private constructor(pair: Pair, cpu: CpuMeter) {
    this.pair = pair;
    this.cpu = cpu;
  }

  /** Builds the topology. */
  static async up(say: (line: string) => void): Promise<OneCore> {
    const host = new OneCore(await Pair.lab(TOPOLOGY), CpuMeter.open(say));
    try {
      for (const node of Object.keys(TOPOLOGY.nodes)) await host.pair.lab.run(node, ["sysctl", "-qw", ...SYSCTLS]);
      say(`everything runs on CPU ${host.core}; CPU time from ${host.cpu.source}`);
      return host;
    } catch (error) {
      await host.down();
      throw error;
    }
  }

  /** Put before a command, it runs on the one core. */
  get launcher(): string[] {
    return ["taskset", "-c", String(this.core)];
  }

  /** Starts a command on the core, in a node, and counts it to a group. The lab's end is its end. */
  spawn(node: string, group: string, command: readonly string[], options: SpawnOptions): ChildProcess {
    const child = this.pair.lab.spawn(node, [...this.launcher, ...command], options);
    if (child.pid !== undefined) this.cpu.add(group, child.pid);
    return child;
  }

  /** Multipath TCP connections that a node has been asked for. */
  async multipathConnections(node: string): Promise<number> {
    return protocolCounter(await this.pair.lab.run(node, ["cat", "/proc/net/netstat"]), "MPTcpExt", "MPCapableSYNRX");
  }

  async down(): Promise<void> {
    await this.pair.down();
    this.cpu.close();
  }
}

/** Builds the topology for `program`, and takes it down whatever happens. */
export async function onOneCore<Result>(
  say: (line: string) => void,
  program: (host: OneCore) => Promise<Result>,
): Promise<Result> {
  const host = await OneCore.up(say);
  try {
    return await program(host);
  } finally {
    await host.down();
  }
}

/** Ends a process and waits until it has gone. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** The first CPU of a /proc/PID/status that the process may use. */
export function firstAllowedCpu(status: string): number {
  return Number(/^Cpus_allowed_list:\s*(\d+)/m.exec(status)?.[1] ?? 0);
}

/** A counter of /proc/net/netstat, which has two lines for each group: names, and values. NaN when there is none. */
export function protocolCounter(netstat: string, group: string, name: string): number {
  const lines = netstat.split("\n").filter((line) => line.startsWith(`${group}:`));
  const [names = [], values = []] = lines.map((line) => line.split(" "));
  return Number(values[names.indexOf(name)] ?? Number.NaN);
}
