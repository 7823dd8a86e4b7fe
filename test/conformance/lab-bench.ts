/** Two hosts of a lab, joined by two cables, each with the engine that is wanted. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { Lab } from "../lab/lab.ts";
import type { Topology } from "../lab/topology.ts";
import type { Bench, Host } from "./bench.ts";
import { KernelHost } from "./kernel-host.ts";
import { OffloadingHost, UserspaceHost } from "./userspace-host.ts";

const STEP_MS = 1;
const FOREIGN = "198.51.100.7";
const FOREIGN_SOURCE = "192.0.2.7";
const TRANSPARENT_PORT = 5000;
const UNREACHABLE = "10.84.1.1";

/** A host whose engine works only when it is told to. */
export interface LabHost extends Host {
  /** Lets it work for up to `timeoutMs`, and collects readiness. */
  collect(timeoutMs: number): void;
  close(): void;
}

const HOSTS = { kernel: KernelHost, userspace: UserspaceHost, offloading: OffloadingHost } as const;

/** What a host runs on. */
export type HostKind = keyof typeof HOSTS;

/** The client opens connections from FOREIGN_SOURCE, the server takes those to FOREIGN. */
const TRANSPARENT_TABLE = `table inet transparent {
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    meta l4proto tcp socket transparent 1 meta mark set 1 accept
    ip daddr ${FOREIGN} tcp flags syn tproxy ip to 127.0.0.1:${TRANSPARENT_PORT} meta mark set 1 accept
  }
}
`;

/** The kernels have 10.81.PATH.HOST, what runs in user space 10.82.PATH.HOST behind them. */
const TOPOLOGY: Topology = {
  nodes: { client: { router: true }, server: { router: true } },
  links: [1, 2].map((number) => ({
    name: `path${number}`,
    ends: (["client", "server"] as const).map((node, index) => ({
      node,
      name: `path${number}`,
      addresses: [`10.81.${number}.${index + 1}/24`, `fd81:${number}::${index + 1}/64`],
    })) as unknown as Topology["links"][number]["ends"],
  })),
  routes: [
    { node: "client", to: `${FOREIGN}/32`, via: "10.81.1.2" },
    { node: "client", to: `${UNREACHABLE}/32`, via: "10.81.1.2" },
    { node: "server", to: `${FOREIGN_SOURCE}/32`, via: "10.81.1.1" },
    ...(["client", "server"] as const).flatMap((node, index) => {
      const peer = 2 - index;
      // Over the other path too: a socket that is bound to its interface asks for a route there.
      return [1, 2].flatMap((path) =>
        [path, 3 - path].flatMap((over, metric) => [
          { node, to: `10.82.${path}.${peer}/32`, via: `10.81.${over}.${peer}`, metric },
          { node, to: `fd82:${path}::${peer}/128`, via: `fd81:${over}::${peer}`, metric: metric + 1 },
        ]),
      );
    }),
  ],
  firewalls: { client: TRANSPARENT_TABLE, server: TRANSPARENT_TABLE },
};

const SYSCTLS = [
  "net.mptcp.enabled=1",
  "net.mptcp.pm_type=1",
  // One lost handshake with Multipath TCP must not turn the ones after it to plain TCP.
  "net.mptcp.blackhole_timeout=0",
  "net.ipv4.tcp_fastopen=3",
];

const DROP_TABLE = `table inet drop_multipath {
  chain output {
    type filter hook output priority filter; policy accept;
    tcp flags & (syn | ack) == syn tcp option 30 exists drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    tcp flags & (syn | ack) == syn tcp option 30 exists drop
  }
}
`;

export class LabBench implements Bench {
  readonly client: LabHost;
  readonly server: LabHost;
  readonly transparent = {
    listen: { address: ipAddress("127.0.0.1"), port: TRANSPARENT_PORT },
    foreign: { address: ipAddress(FOREIGN), port: 443 },
    foreignSource: ipAddress(FOREIGN_SOURCE),
  };
  readonly silent: IpAddress = ipAddress("10.81.1.77");
  readonly unreachable: IpAddress = ipAddress(UNREACHABLE);
  readonly lab: Lab;

  private constructor(lab: Lab, client: HostKind, server: HostKind) {
    this.lab = lab;
    this.client = new HOSTS[client](lab, "client", 1);
    this.server = new HOSTS[server](lab, "server", 2);
  }

  static async up(client: HostKind, server: HostKind): Promise<LabBench> {
    const lab = await Lab.up(TOPOLOGY);
    try {
      for (const node of ["client", "server"]) {
        await lab.run(node, ["sysctl", "-qw", ...SYSCTLS]);
        await lab.run(node, ["ip", "rule", "add", "fwmark", "1", "lookup", "50"]);
        await lab.run(node, ["ip", "route", "add", "local", "default", "dev", "lo", "table", "50"]);
      }
      await lab.run("server", ["ip", "route", "add", "unreachable", UNREACHABLE]);
      const bench = new LabBench(lab, client, server);
      if (bench.client instanceof UserspaceHost) await bench.client.takeForeign(FOREIGN_SOURCE);
      if (bench.server instanceof UserspaceHost) await bench.server.takeForeign(FOREIGN);
      return bench;
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  async step(): Promise<void> {
    this.client.collect(0);
    this.server.collect(STEP_MS);
    await nextTurn();
  }

  async dropMultipathSyns(drop: boolean): Promise<void> {
    const rules = drop ? DROP_TABLE : "delete table inet drop_multipath\n";
    await this.lab.run("client", ["nft", "-f", "-"], { input: rules });
  }

  async down(): Promise<void> {
    this.client.close();
    this.server.close();
    await this.lab.down();
  }
}
