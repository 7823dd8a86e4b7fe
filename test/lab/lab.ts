/**
 * A lab: the topology as real network namespaces, with real processes in them. Each lab's namespaces carry the number of
 * the process that made them, so that labs never meet, and what a killed run left behind can be removed by exact name.
 */
import { type ChildProcess, type ExecFileOptions, execFile, type SpawnOptions, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { promisify } from "node:util";
import { inNetworkNamespace } from "@hybrid-access/core/platform/network-namespace";
import { closeDescriptor } from "@hybrid-access/core/platform/socket";
import { readSysctl, writeSysctl } from "@hybrid-access/core/platform/sysctl";
import { openTunDevice } from "@hybrid-access/core/platform/tun";
import type { LinkOptions } from "@hybrid-access/core/testing/link";
import { EmulatorClient } from "./emulator-client.ts";
import { type Direction, type EmulatorCounters, type Place, WIRED_HARDWARE_ADDRESS } from "./emulator-protocol.ts";
import { isRoot } from "./root.ts";
import type { InterfaceSpec, LinkSpec, RouteSpec, Topology } from "./topology.ts";

const execFileAsync = promisify(execFile);

const NAMESPACE_DIRECTORY = "/run/netns";
const NAME_PREFIX = "halab";
/** The namespace, no node, in which the emulator holds its ends of the wires. */
const WIRES = "wires";

function wireName(link: number, end: number): string {
  return `wire${link}-${end}`;
}

const SYSCTLS = (): string[] => [
  "net.ipv4.conf.all.rp_filter=0",
  "net.ipv4.conf.default.rp_filter=0",
  "net.ipv6.conf.all.accept_ra=0",
  "net.ipv6.conf.default.accept_ra=0",
  // Or an interface's first neighbour solicitation waits for duplicate address detection: 1 s for the first connection.
  "net.ipv6.conf.all.accept_dad=0",
  "net.ipv6.conf.default.accept_dad=0",
  `net.ipv4.tcp_congestion_control=${allowCubic() ? "cubic" : "reno"}`,
];
const ROUTER_SYSCTLS = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];

/**
 * Lab hosts use CUBIC, as servers do, whatever this host's default is. A namespace may choose only what the host allows
 * everybody (tcp_allowed_congestion_control), so CUBIC is added there; where that is refused, Reno is always allowed.
 */
function allowCubic(): boolean {
  const setting = "net.ipv4.tcp_allowed_congestion_control";
  const allowed = readSysctl(setting)?.split(" ") ?? [];
  if (allowed.includes("cubic")) return true;
  try {
    writeSysctl(setting, [...allowed, "cubic"].join(" "));
    return true;
  } catch {
    return false;
  }
}

export class Lab {
  readonly #topology: Topology;
  readonly #prefix: string;
  /** Emulated links end in packet sockets, not in TUN devices. */
  readonly #wires: boolean;
  readonly #emulator = new EmulatorClient();
  readonly #children = new Set<ChildProcess>();

  private constructor(topology: Topology, wires: boolean) {
    this.#topology = topology;
    this.#wires = wires;
    this.#prefix = `${NAME_PREFIX}${process.pid}-`;
  }

  /**
   * Builds the topology. One lab at a time in a process. Emulated links are TUN devices where those are allowed,
   * otherwise cables to packet sockets.
   */
  static async up(topology: Topology, { wires = !mayOpenTun() } = {}): Promise<Lab> {
    if (!isRoot()) throw new Error("the lab makes network namespaces and needs root, or a user namespace of one's own");
    await removeAbandonedLabs();
    const lab = new Lab(topology, wires);
    try {
      await lab.#build();
    } catch (error) {
      await lab.down();
      throw error;
    }
    return lab;
  }

  async #build(): Promise<void> {
    const { nodes, links, routes, firewalls = {} } = this.#topology;
    await ip(
      [],
      Object.keys(nodes).map((node) => `netns add ${this.namespace(node)}`),
    );
    for (const [node, { router = false }] of Object.entries(nodes)) {
      await this.run(node, ["sysctl", "-qw", ...SYSCTLS(), ...(router ? ROUTER_SYSCTLS : [])]);
    }
    const emulated = links.filter((link) => link.emulation !== undefined);
    if (this.#wires) await this.#layWires(emulated);
    const opened = emulated.map((link, index) => this.#emulatedLink(link, index));
    await this.#emulator.request({ action: "open", seed: 1, links: opened });
    await ip(
      [],
      links.filter((link) => link.emulation === undefined).map((link) => this.#vethCommand(link)),
    );
    const ends = links.flatMap((link) => link.ends);
    for (const [node, { loopback = [] }] of Object.entries(nodes)) {
      await ip(
        ["-n", this.namespace(node)],
        [
          "link set lo up",
          ...loopback.map((address) => addressCommand(address, "lo")),
          ...ends.filter((end) => end.node === node).flatMap(interfaceCommands),
          ...routes.filter((route) => route.node === node).map(routeCommand),
        ],
      );
    }
    for (const [node, rules] of Object.entries(firewalls)) await this.run(node, ["nft", "-f", "-"], { input: rules });
  }

  /** Cables from every end of an emulated link to a namespace that is no node, where the emulator takes over. */
  async #layWires(links: readonly LinkSpec[]): Promise<void> {
    const wires = this.namespace(WIRES);
    const address = WIRED_HARDWARE_ADDRESS.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
    await ip([], [`netns add ${wires}`]);
    await this.run(WIRES, ["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
    const ends = links.flatMap(({ ends }, link) => ends.map((end, index) => ({ end, wire: wireName(link, index) })));
    await ip(
      [],
      ends.map(({ end, wire }) => {
        const cable = `${end.name} netns ${this.namespace(end.node)} address ${address}`;
        return `link add ${cable} type veth peer name ${wire} netns ${wires}`;
      }),
    );
    for (const { end } of ends) await ip(["-n", this.namespace(end.node)], [`link set ${end.name} arp off`]);
  }

  #place(node: string, name: string): Place {
    return { namespacePath: `${NAMESPACE_DIRECTORY}/${this.namespace(node)}`, name };
  }

  #emulatedLink({ name, ends, emulation }: LinkSpec, link: number) {
    return {
      name,
      ends: ends.map((end, index) => ({
        ...this.#place(end.node, end.name),
        ...(this.#wires && { wire: this.#place(WIRES, wireName(link, index)) }),
      })),
      emulation: emulation ?? { forward: {}, backward: {} },
    };
  }

  #vethCommand({ ends: [left, right] }: LinkSpec): string {
    const from = `${left.name} netns ${this.namespace(left.node)}`;
    return `link add ${from} type veth peer name ${right.name} netns ${this.namespace(right.node)}`;
  }

  /** The name of a node's network namespace. */
  namespace(node: string): string {
    return `${this.#prefix}${node}`;
  }

  /** Runs synchronous code in a node: sockets that it opens belong there. */
  inside<Result>(node: string, action: () => Result): Result {
    return inNetworkNamespace(`${NAMESPACE_DIRECTORY}/${this.namespace(node)}`, action);
  }

  /** The command line that runs `command` in a node. */
  commandIn(node: string, command: readonly string[]): [string, string[]] {
    return ["ip", ["netns", "exec", this.namespace(node), ...command]];
  }

  /** Runs a command in a node to its end and gives what it printed; rejects when it fails. */
  async run(
    node: string,
    command: readonly string[],
    options: ExecFileOptions & { input?: string } = {},
  ): Promise<string> {
    const [file, args] = this.commandIn(node, command);
    return await runCommand(file, args, options);
  }

  /** Starts a command in a node; it is killed when the lab goes down. */
  spawn(node: string, command: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const [file, args] = this.commandIn(node, command);
    const child = spawn(file, args, options);
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  /** Changes one direction of an emulated link; "forward" is from its first end to its second. */
  async configureLink(link: string, direction: Direction, options: LinkOptions): Promise<void> {
    await this.#emulator.request({ action: "configure", link, direction, options });
  }

  /** Pulls or plugs an emulated link's cable. */
  async setCarrier(link: string, present: boolean): Promise<void> {
    await this.#emulator.request({ action: "carrier", link, present });
  }

  /** Captures what an emulated link delivers into a pcapng file, until called with null. */
  async capture(link: string, path: string | null): Promise<void> {
    await this.#emulator.request({ action: "capture", link, path });
  }

  async linkCounters(): Promise<EmulatorCounters> {
    return (await this.#emulator.request({ action: "counters" })) ?? {};
  }

  /** Ends the processes and removes the namespaces. Safe to call after a failed {@link up}. */
  async down(): Promise<void> {
    const exits = Array.from(this.#children, (child) => new Promise((resolve) => child.once("exit", resolve)));
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(exits);
    await this.#emulator.close();
    await removeNamespaces([...Object.keys(this.#topology.nodes), WIRES].map((node) => this.namespace(node)));
  }
}

function mayOpenTun(): boolean {
  const device = openTunDevice();
  if (device >= 0) closeDescriptor(device);
  return device >= 0;
}

function addressCommand(address: string, device: string): string {
  return `addr add ${address} dev ${device}${address.includes(":") ? " nodad" : ""}`;
}

function interfaceCommands({ name, addresses }: InterfaceSpec): string[] {
  return [...addresses.map((address) => addressCommand(address, name)), `link set ${name} up`];
}

function routeCommand({ to, via, metric }: RouteSpec): string {
  return `route add ${to} via ${via}${metric === undefined ? "" : ` metric ${metric}`}`;
}

async function ip(args: readonly string[], commands: readonly string[]): Promise<void> {
  if (commands.length > 0) await runCommand("ip", [...args, "-batch", "-"], { input: commands.join("\n") });
}

async function runCommand(
  file: string,
  args: readonly string[],
  { input, ...options }: ExecFileOptions & { input?: string },
): Promise<string> {
  const running = execFileAsync(file, args, { maxBuffer: 64 * 1024 * 1024, ...options, encoding: "utf8" });
  if (input === undefined) running.child.stdin?.destroy();
  else running.child.stdin?.end(input);
  return (await running).stdout;
}

async function removeNamespaces(names: readonly string[]): Promise<void> {
  const existing = names.filter((name) => existsSync(`${NAMESPACE_DIRECTORY}/${name}`));
  await ip(
    [],
    existing.map((name) => `netns del ${name}`),
  );
}

/** Removes the namespaces of labs whose process is gone: a killed run cannot clean up after itself. */
async function removeAbandonedLabs(): Promise<void> {
  if (!existsSync(NAMESPACE_DIRECTORY)) return;
  const abandoned = readdirSync(NAMESPACE_DIRECTORY).filter((name) => {
    const owner = new RegExp(`^${NAME_PREFIX}(\\d+)-`).exec(name)?.[1];
    return owner !== undefined && !existsSync(`/proc/${owner}`);
  });
  await removeNamespaces(abandoned);
}
