/** Segments of up to 64 kB between the userspace engine and Linux (IFF_VNET_HDR), masqueraded by the node's kernel as an uplink's are. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { openUserspace, type Userspace } from "@hybrid-access/core/engine/userspace/open";
import { TunUplink } from "@hybrid-access/core/engine/userspace/tun-uplink";
import { Epoll } from "@hybrid-access/core/platform/epoll";
import type { PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import { DEFAULT_MPTCP_SETTINGS } from "@hybrid-access/core/stack/mptcp/settings";
import { expect } from "chai";
import { accepted, type Bench, End, freshPort, type Host } from "../conformance/bench.ts";
import { LabBench } from "../conformance/lab-bench.ts";
import { collectReadiness, EVENTS_PER_STEP } from "../conformance/readiness.ts";
import { hashOf, pattern } from "../lab/stream.ts";

const BYTES = 20_000_000;
/** Private to the node: nobody else has a route to them. */
const ADDRESSES = { ipv4: ipAddress("10.99.0.2"), ipv6: ipAddress("fd99::2") };
const MASQUERADE = `table inet uplink {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.99.0.2 masquerade
    ip6 saddr fd99::2 masquerade
  }
}
`;

/** A userspace host in the client's node, beside the client's kernel. */
class MasqueradedHost implements Host {
  readonly #lab: LabBench["lab"];
  readonly #epoll = new Epoll(EVENTS_PER_STEP);
  readonly userspace: Userspace;
  readonly address = ADDRESSES;
  readonly second = {
    ipv4: { address: ADDRESSES.ipv4, interfaceIndex: 0 },
    ipv6: { address: ADDRESSES.ipv6, interfaceIndex: 0 },
  };
  readonly ready = new Map<number, number>();
  readonly pathEvents: PathEvent[] = [];

  constructor(lab: LabBench["lab"]) {
    this.#lab = lab;
    const addresses = Object.values(ADDRESSES);
    const uplink = this.inside(() => TunUplink.open({ name: "offload0", addresses, offloads: true }));
    const tcp = { ...DEFAULT_MPTCP_SETTINGS.tcp, bulkBytes: 60_000 };
    this.userspace = openUserspace({ uplinks: [uplink], settings: { ...DEFAULT_MPTCP_SETTINGS, tcp } }, this.#epoll);
  }

  get engine() {
    return this.userspace.engine;
  }

  get paths() {
    return this.userspace.paths;
  }

  inside<Result>(action: () => Result): Result {
    return this.#lab.inside("client", action);
  }

  collect(timeoutMs: number): void {
    collectReadiness(this.userspace.reactor, timeoutMs, this.ready);
  }

  close(): void {
    this.userspace.close();
    this.#epoll.close();
  }
}

describe("a userspace client behind its node's masquerading, with offloads", function () {
  this.timeout(30_000);
  let lab: LabBench;
  let bench: Bench;
  let client: MasqueradedHost;

  before(async () => {
    lab = await LabBench.up("kernel", "kernel");
    await lab.lab.run("client", ["nft", "-f", "-"], { input: MASQUERADE });
    client = new MasqueradedHost(lab.lab);
    bench = {
      client,
      server: lab.server,
      transparent: lab.transparent,
      silent: lab.silent,
      unreachable: lab.unreachable,
      dropMultipathSyns: (drop) => lab.dropMultipathSyns(drop),
      async step() {
        client.collect(0);
        await lab.step();
      },
    };
  });
  after(async () => {
    client?.close();
    await lab?.down();
  });

  for (const family of ["ipv4", "ipv6"] as const) {
    it(`carries 20 MB each way as Multipath TCP over ${family}`, async () => {
      const peer = { address: lab.server.address[family], port: freshPort() };
      const listening = lab.server.inside(() => lab.server.engine.listen({ endpoint: peer, protocol: "mptcp" }));
      const near = new End(bench, client, client.engine.connect({ peer, protocol: "mptcp" }).leg);
      await near.connected();
      const far = new End(bench, lab.server, await accepted(bench, new End(bench, lab.server, listening)));
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        const bytes = pattern(BYTES, 8);
        const reading = to.read();
        await from.writeAll(bytes);
        from.shutdownWrite();
        const { bytes: come, end } = await reading;
        expect(end).to.equal("end");
        expect(hashOf(come)).to.equal(hashOf(bytes));
      }
      expect(client.engine.isMultipath(near.leg)).to.equal(true);
      expect(client.userspace.host.refusals.get("tcpChecksum")).to.equal(undefined);
      for (const end of [near, far]) end.reset();
      lab.server.engine.reset(listening);
    });
  }
});
