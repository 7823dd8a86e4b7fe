import { expect } from "chai";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { FARM_SERVER, FarmLab } from "../lab/farm.ts";
import { FarmTraffic, sumOf } from "../lab/farm-traffic.ts";
import { connectFrom, StreamServer } from "../lab/stream.ts";
import { until } from "../lab/until.ts";

const PORT = 7000;

describe("a farm that announces", function () {
  this.timeout(30_000);

  for (const { home, family, own } of [
    { home: 1, family: "IPv4", own: [10, 8, 0, 11] },
    { home: 2, family: "IPv6", own: [0xfd, 0x88] },
  ]) {
    it(`forbids further subflows to its address and names the gateway's own, over ${family}`, async () => {
      const gateways = [{ name: "conv1", role: "both" }] as const;
      const farm = await FarmLab.up({ homes: 2, gateways, steering: "announce" }, ["conv1"]);
      const server = new StreamServer(farm.lab, "srv", PORT);
      try {
        const client = connectFrom(farm.lab, `lan${home}`, FARM_SERVER.ipv4, PORT);
        client.write("x");
        await server.accept();
        const events = () =>
          farm
            .daemon(`hcpe${home}`)
            .log()
            .split("\n")
            .filter((line) => line.includes('"msg":"path event"'))
            .map((line) => (JSON.parse(line) as { event: Record<string, unknown> }).event);
        const isOwn = ({ type, remote }: Record<string, unknown>) => {
          if (type !== "addressAnnounced") return false;
          const bytes = Object.values((remote as { address: Record<string, number> }).address);
          return String(family === "IPv4" ? bytes.slice(12) : bytes.slice(0, 2)) === String(own);
        };
        await until(() => events().some(isOwn), { what: "its address is announced", limitMs: 5000 });
        expect(events().find(({ type }) => type === "connectionEstablished")?.denyJoinInitial).to.equal(true);
        client.destroy();
      } finally {
        await server.close();
        await farm.down();
      }
    });
  }
});

describe("a farm of three gateways that announce", function () {
  this.timeout(40_000);
  const names = ["conv1", "conv2", "conv3"];
  let farm: FarmLab;
  let traffic: FarmTraffic;

  before(async () => {
    const gateways = names.map((name) => ({ name, role: "converter" }) as const);
    farm = await FarmLab.up({ homes: 2, gateways, steering: "announce" }, names);
    traffic = new FarmTraffic(farm);
  });
  afterEach(() => traffic?.closeAll());
  after(async () => {
    await traffic?.close();
    await farm?.down();
  });

  for (const { home, family } of [
    { home: 1, family: "IPv4" },
    { home: 2, family: "IPv6" },
  ]) {
    it(`brings 60 of 60 joins to their owner through a router that knows only flows, over ${family}`, async function () {
      kernelOnly(this, "whose counters say at which gateway a join was taken");
      const accepted = () => names.map((name) => farm.multipathCounters(name).MPJoinAckRx ?? 0);
      const before = accepted();
      const connections = await traffic.connectWithJoins(home, 60);
      // The last handshakes' third packets may be on their way.
      await until(
        () => accepted().reduce((sum, count) => sum + count) >= before.reduce((sum, count) => sum + count) + 60,
        {
          what: "the gateways have accepted the joins",
          limitMs: 5000,
        },
      );
      expect(sumOf(farm, names, "MPJoinNoTokenFound")).to.equal(0);
      expect(sumOf(farm, [`hcpe${home}`], "MPRstRx")).to.equal(0);
      // Each gateway has connections, and their joins came to it and not to where the router would have sent them.
      for (const [index, count] of accepted().entries()) expect(count - (before[index] ?? 0)).to.be.greaterThan(5);
      expect(await traffic.lostAcross(connections.slice(0, 10), async () => {})).to.equal(0);
    });
  }
});
