import { readFileSync } from "node:fs";
import { expect } from "chai";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { FARM_PORT, FarmLab, VIRTUAL } from "../lab/farm.ts";
import { ownBy } from "../lab/farm-owners.ts";
import { FarmTraffic } from "../lab/farm-traffic.ts";
import { joinOption, RawPackets, TCP_FLAG } from "../lab/raw-packets.ts";
import { until } from "../lab/until.ts";

const CONVERTERS = ["conv1", "conv2"];
const TOKEN = 0x1234_5678;

describe("a director that hangs", function () {
  this.timeout(40_000);
  let farm: FarmLab;
  let packets: RawPackets;

  before(async () => {
    const gateways = [
      { name: "dir1", role: "director" } as const,
      ...CONVERTERS.map((name) => ({ name, role: "converter" }) as const),
    ];
    farm = await FarmLab.up({ homes: 1, gateways }, ["dir1", ...CONVERTERS]);
    packets = new RawPackets(farm.lab, "core", CONVERTERS, VIRTUAL.ipv4, FARM_PORT);
    await ownBy(farm, "conv2", [TOKEN]);
  });
  afterEach(() => farm?.daemon("dir1").process.kill("SIGCONT"));
  after(async () => {
    packets?.close();
    await farm?.down();
  });

  /** Packets that the kernel keeps for it (nfnetlink_queue(5): the third number). */
  function kept(): number {
    const queues = farm.lab.inside("dir1", () => readFileSync("/proc/self/net/netfilter/nfnetlink_queue", "utf8"));
    return Number(queues.trim().split(/\s+/)[2]);
  }

  /** Sends such SYNs, each from a port of its own, until one has come to a converter; which one that is. */
  async function arrival(firstPort: number, options?: Uint8Array): Promise<string> {
    let port = firstPort;
    let node: string | undefined;
    await until(
      () => {
        node = packets.caught().find(({ sourcePort }) => sourcePort >= firstPort && sourcePort < port)?.node;
        if (node === undefined) packets.send({ sourcePort: port++, flags: TCP_FLAG.syn, ...(options && { options }) });
        return node !== undefined;
      },
      { what: "a SYN arrives", limitMs: 5000, everyMs: 20 },
    );
    return node ?? "";
  }

  it("keeps SYNs for half a second and not by the thousand; then new ones go by hash, joins wait for it", async function () {
    kernelOnly(this, "whose raw sockets show what has come to a converter");
    expect(await arrival(1000, joinOption(TOKEN))).to.equal("conv2");
    farm.daemon("dir1").process.kill("SIGSTOP");
    await arrival(10_000);
    const before = kept();
    expect(before).to.be.below(1000);
    const ports = Array.from({ length: 300 }, (_, index) => 20_000 + index);
    for (const sourcePort of ports) packets.send({ sourcePort, flags: TCP_FLAG.syn });
    packets.send({ sourcePort: 30_000, flags: TCP_FLAG.syn, options: joinOption(TOKEN) });
    packets.send({ sourcePort: 30_001, flags: TCP_FLAG.syn });
    const arrived = new Map<number, string>();
    const collect = () => {
      for (const { sourcePort, node } of packets.caught()) arrived.set(sourcePort, node);
      return arrived.has(30_001);
    };
    await until(collect, { what: "the last SYN arrives", limitMs: 5000, everyMs: 5 });
    expect(ports.filter((port) => !arrived.has(port))).to.deep.equal([]);
    expect(new Set(arrived.values())).to.deep.equal(new Set(CONVERTERS));
    expect(arrived.has(30_000)).to.equal(false);
    expect(kept()).to.equal(before);

    farm.daemon("dir1").process.kill("SIGCONT");
    expect(await arrival(40_000, joinOption(TOKEN))).to.equal("conv2");
    expect(kept()).to.equal(0);
  });

  it("leaves its homes in the farm: their new connections go through a converter while it hangs", async () => {
    const traffic = new FarmTraffic(farm);
    try {
      const open = await traffic.connectWithJoins(1, 3);
      const multipath = async () => (await farm.homeStatus(1)).counters.connectionsMultipath ?? 0;
      const before = await multipath();
      const lost = await traffic.lostAcross(open, async () => {
        farm.daemon("dir1").process.kill("SIGSTOP");
        // The first one goes direct, when the gateway has not answered it; then a probe finds the gateway again.
        await until(
          async () => {
            await traffic.connect(1);
            return (await multipath()) >= before + 3;
          },
          { what: "connections go through the farm", limitMs: 15_000, everyMs: 100 },
        );
      });
      expect(lost).to.equal(0);
    } finally {
      await traffic.close();
    }
  });
});
