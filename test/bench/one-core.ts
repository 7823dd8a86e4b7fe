/**
 * The one-core layout: client, server and everything between them share one CPU, so that a rate is the whole chain's
 * work on one core and does not depend on which neighbour the scheduler chose. Spread over CPUs the same test varies
 * several times over.
 *
 *   lan ── hcpe ── hag ── srv
 */
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Pair } from "../lab/pair.ts";
import { requireRoot } from "../lab/session.ts";
import type { Topology } from "../lab/topology.ts";
import { CpuMeter } from "./cpu-meter.ts";

/** How many addresses of its own a relay's node has: each variant of the relay listens on one of them. */
const RELAY_ADDRESSES = 8;

export const ADDRESS = {
  /** The server of one hop, on the node "hag". */
  hopServer: "10.1.1.1",
  /** The server of both hops, on the node "srv". */
  server: "10.3.3.2",
  gateway: "10.9.9.9",
} as const;

/** An address on the node "hcpe" or "hag" for the relay with this number. */
export function relayAddress(node: "hcpe" | "hag", index: number): string {
  if (index >= RELAY_ADDRESSES) throw new RangeError("too many relays");
  return `10.8.${node === "hcpe" ? 1 : 2}.${index + 1}`;
}

function relayAddresses(node: "hcpe" | "hag"): string[] {
  return Array.from({ length: RELAY_ADDRESSES }, (_, index) => `${relayAddress(node, index)}/32`);
}

const TOPOLOGY: Topology = {
  nodes: {
    lan: {},
    hcpe: { router: true, loopback: relayAddresses("hcpe") },
    hag: { router: true, loopback: [`${ADDRESS.gateway}/32`, ...relayAddresses("hag")] },
    srv: {},
  },
  links: [
    {
      name: "lan",
      ends: [
        { node: "lan", name: "eth0", addresses: ["192.168.1.2/24"] },
        { node: "hcpe", name: "lan", addresses: ["192.168.1.1/24"] },
      ],
    },
    {
      name: "dsl",
      ends: [
        { node: "hcpe", name: "dsl", addresses: ["10.1.1.2/24"] },
        { node: "hag", name: "dsl", addresses: [`${ADDRESS.hopServer}/24`] },
      ],
    },
    {
      name: "server",
      ends: [
        { node: "hag", name: "srv", addresses: ["10.3.3.1/24"] },
        { node: "srv", name: "eth0", addresses: [`${ADDRESS.server}/24`] },
      ],
    },
  ],
  routes: [
    { node: "lan", to: "default", via: "192.168.1.1" },
    { node: "hcpe", to: "default", via: ADDRESS.hopServer },
    { node: "hag", to: "192.168.1.0/24", via: "10.1.1.2" },
    { node: "srv", to: "default", via: "10.3.3.1" },
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
  readonly #core = firstAllowedCpu(readFileSync("/proc/self/status", "utf8"));

  private constructor(pair: Pair, cpu: CpuMeter) {
    this.pair = pair;
    this.cpu = cpu;
  }

  static async up(say: (line: string) => void): Promise<OneCore> {
    requireRoot();
    const host = new OneCore(await Pair.lab(TOPOLOGY), CpuMeter.open(say));
    try {
      for (const node of Object.keys(TOPOLOGY.nodes)) await host.pair.lab.run(node, ["sysctl", "-qw", ...SYSCTLS]);
      say(`everything runs on CPU ${host.#core}; CPU time from ${host.cpu.source}`);
      return host;
    } catch (error) {
      await host.down();
      throw error;
    }
  }

  /** Put before a command, it runs on the one core. */
  get launcher(): string[] {
    return ["taskset", "-c", String(this.#core)];
  }

  /** Starts a command on the core, in a node, and counts it to a group. The lab's end is its end. */
  spawn(node: string, group: string, command: readonly string[], options: SpawnOptions): ChildProcess {
    const child = this.pair.lab.spawn(node, [...this.launcher, ...command], options);
    if (child.pid !== undefined) this.cpu.add(group, child.pid);
    return child;
  }

  async down(): Promise<void> {
    await this.pair.down();
    this.cpu.close();
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
