/** The kernel engine on two hosts of a lab, joined by two cables. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { ENGINES } from "@hybrid-access/core/engine/engines";
import { Epoll } from "@hybrid-access/core/platform/epoll";
import { libc } from "@hybrid-access/core/platform/libc";
import type { PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import { Lab } from "../lab/lab.ts";
import type { Topology } from "../lab/topology.ts";
import type { Bench, Host } from "./bench.ts";

const STEP_MS = 1;
const EVENTS_PER_STEP = 64;
/** Path events may be told together, as in the HCPE. */
const REST_MS = 4;
const FOREIGN = "198.51.100.7";
const FOREIGN_SOURCE = "192.0.2.7";
const TRANSPARENT_PORT = 5000;

/** The client opens connections from FOREIGN_SOURCE, the server takes those to FOREIGN. */
const TRANSPARENT_TABLE = `table inet transparent {
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    meta l4proto tcp socket transparent 1 meta mark set 1 accept
    ip daddr ${FOREIGN} tcp flags syn tproxy ip to 127.0.0.1:${TRANSPARENT_PORT} meta mark set 1 accept
  }
}
`;

const TOPOLOGY: Topology = {
  nodes: { client: {}, server: {} },
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
    { node: "server", to: `${FOREIGN_SOURCE}/32`, via: "10.81.1.1" },
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
}
`;

class KernelHost implements Host {
  readonly #lab: Lab;
  readonly #node: string;
  readonly #epoll = new Epoll(EVENTS_PER_STEP);
  readonly engine;
  readonly paths;
  readonly address: Host["address"];
  readonly second: Host["second"];
  readonly ready = new Map<number, number>();
  readonly pathEvents: PathEvent[] = [];

  constructor(lab: Lab, node: string, number: number) {
    this.#lab = lab;
    this.#node = node;
    this.engine = this.inside(() => ENGINES.kernel.create(this.#epoll));
    this.paths = this.inside(() => {
      const control = ENGINES.kernel.openPathControl(REST_MS);
      control.onEvent((event) => this.pathEvents.push(event));
      return control;
    });
    this.address = { ipv4: ipAddress(`10.81.1.${number}`), ipv6: ipAddress(`fd81:1::${number}`) };
    this.second = {
      address: ipAddress(`10.81.2.${number}`),
      interfaceIndex: this.inside(() => libc.if_nametoindex("path2")),
    };
  }

  inside<Result>(action: () => Result): Result {
    return this.#lab.inside(this.#node, action);
  }

  collect(timeoutMs: number): void {
    const count = this.#epoll.wait(timeoutMs);
    for (let index = 0; index < count; index++) {
      const tag = this.#epoll.tag(index);
      this.ready.set(tag, (this.ready.get(tag) ?? 0) | this.#epoll.bits(index));
    }
  }

  close(): void {
    this.paths.close();
    this.#epoll.close();
  }
}

export class KernelBench implements Bench {
  readonly client: KernelHost;
  readonly server: KernelHost;
  readonly transparent: Bench["transparent"] = {
    listen: { address: ipAddress("127.0.0.1"), port: TRANSPARENT_PORT },
    foreign: { address: ipAddress(FOREIGN), port: 443 },
    foreignSource: ipAddress(FOREIGN_SOURCE),
  };
  readonly silent: IpAddress = ipAddress("10.81.1.77");
  readonly #lab: Lab;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.client = new KernelHost(lab, "client", 1);
    this.server = new KernelHost(lab, "server", 2);
  }

  static async up(): Promise<KernelBench> {
    const lab = await Lab.up(TOPOLOGY);
    try {
      for (const node of ["client", "server"]) {
        await lab.run(node, ["sysctl", "-qw", ...SYSCTLS]);
        await lab.run(node, ["ip", "rule", "add", "fwmark", "1", "lookup", "50"]);
        await lab.run(node, ["ip", "route", "add", "local", "default", "dev", "lo", "table", "50"]);
      }
      return new KernelBench(lab);
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
    await this.#lab.run("client", ["nft", "-f", "-"], { input: rules });
  }

  async down(): Promise<void> {
    this.client.close();
    this.server.close();
    await this.#lab.down();
  }
}
