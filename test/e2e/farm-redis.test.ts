import { expect } from "chai";
import { FarmLab } from "../lab/farm.ts";
import { FarmTraffic } from "../lab/farm-traffic.ts";
import { until } from "../lab/until.ts";

const MASTERS = 3;
const PAUSE_MS = 2000;
const GATEWAYS = [
  { name: "dir1", role: "director" } as const,
  ...["conv1", "conv2"].map((name) => ({ name, role: "converter" }) as const),
];

describe("a farm whose registry is a Redis Cluster", function () {
  this.timeout(40_000);
  let farm: FarmLab;
  let traffic: FarmTraffic;

  before(async () => {
    farm = await FarmLab.up({ homes: 1, gateways: GATEWAYS, redis: "cluster" }, ["dir1", "conv1", "conv2"]);
    traffic = new FarmTraffic(farm);
  });
  afterEach(() => traffic?.closeAll());
  after(async () => {
    await traffic?.close();
    await farm?.down();
  });

  async function everywhere(check: (status: Awaited<ReturnType<FarmLab["farmStatus"]>>) => boolean, what: string) {
    for (const { name } of GATEWAYS) {
      await until(async () => check(await farm.farmStatus(name)), { what: `${name}: ${what}`, limitMs: 15_000 });
    }
  }

  it("goes on while it answers after two seconds: connections stay, new ones are made, joins go by third ACKs", async () => {
    const connections = await traffic.connectWithJoins(1, 5);
    const before = (await farm.farmStatus("dir1")).director?.fromPath ?? 0;
    const lost = await traffic.lostAcross(connections, async () => {
      const pauses = Array.from({ length: MASTERS }, (_, server) =>
        farm.redis.command(server, "client", "pause", String(PAUSE_MS), "all"),
      );
      await Promise.all(pauses);
      await traffic.connectWithJoins(1, 10);
    });
    expect(lost).to.equal(0);
    expect((await farm.farmStatus("dir1")).director?.fromPath).to.be.at.least(before + 10);
    await everywhere(({ nodes }) => nodes.every(({ state }) => state === "up"), "all are up");
  });

  it("goes on when a master is killed: connections stay, new ones are made, and joins find their owner", async () => {
    const connections = await traffic.connectWithJoins(1, 10);
    const lost = await traffic.lostAcross(connections, async () => {
      farm.redis.signal(0, "SIGKILL");
      await traffic.connectWithJoins(1, 20);
    });
    expect(lost).to.equal(0);
    await everywhere(({ registry }) => registry.connected, "Redis is there again");
  });
});
