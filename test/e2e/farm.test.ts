import { expect } from "chai";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { FarmLab } from "../lab/farm.ts";
import { FarmTraffic, sumOf } from "../lab/farm-traffic.ts";
import { until } from "../lab/until.ts";

const DIRECTORS = ["dir1", "dir2"];
const CONVERTERS = ["conv1", "conv2", "conv3"];
const GATEWAYS = [
  ...DIRECTORS.map((name) => ({ name, role: "director" }) as const),
  ...CONVERTERS.map((name) => ({ name, role: "converter" }) as const),
];
const HOMES = [
  { home: 1, family: "IPv4" },
  { home: 2, family: "IPv6" },
] as const;

describe("a farm of two directors and three converters", function () {
  this.timeout(30_000);
  let farm: FarmLab;
  let traffic: FarmTraffic;

  before(async () => {
    farm = await FarmLab.up({ homes: 2, gateways: GATEWAYS }, [...DIRECTORS, ...CONVERTERS]);
    traffic = new FarmTraffic(farm);
  });
  afterEach(() => traffic?.closeAll());
  after(async () => {
    await traffic?.close();
    await farm?.down();
  });

  for (const { home, family } of HOMES) {
    it(`brings 100 of 100 joins to their owner over ${family}, without a reset`, async () => {
      await traffic.connectWithJoins(home, 100);
      expect(sumOf(farm, CONVERTERS, "MPJoinNoTokenFound")).to.equal(0);
      expect(sumOf(farm, [`hcpe${home}`], "MPRstRx")).to.equal(0);
      for (const name of CONVERTERS) {
        expect((await farm.farmStatus(name)).published?.tokens, name).to.be.greaterThan(10);
      }
    });
  }

  it("shows its directors the first packets of a flow only: what a transfer carries is the kernel's", async () => {
    const shown = async () => {
      const all = await Promise.all(DIRECTORS.map((name) => farm.farmStatus(name)));
      return all.reduce((sum, { director }) => sum + (director?.packets ?? 0) + (director?.keys ?? 0), 0);
    };
    const before = await shown();
    const connections = await traffic.connectWithJoins(1, 5);
    expect(await traffic.lostAcross(connections, async () => {})).to.equal(0);
    // Two SYNs and what brings the key, once or twice, of each; a probe of the gateway may come between.
    expect((await shown()) - before).to.be.within(15, 25);
  });

  it('tells how it is by "hag farm status", for people and as JSON', async () => {
    const status = JSON.parse(await farm.run("dir1", "farm", "status", "--json")) as Record<string, unknown>;
    expect(status).to.include({ apiVersion: 1, name: "farm", node: "dir1", role: "director", state: "up" });
    expect(status)
      .to.have.property("nodes")
      .with.lengthOf(DIRECTORS.length + CONVERTERS.length);
    expect(status).to.include.keys("registry", "director", "announced", "virtualAddresses");
    expect(await farm.run("conv1", "farm", "status")).to.match(/node +conv1\n/);
  });

  it("refuses a node whose name or settings are not the farm's: it ends with code 78 and one clear line", async () => {
    await farm.daemon("dir2").end("SIGKILL");
    const start = async (from: string, to: string) =>
      await farm
        .start("dir2", (config) => config.replace(from, to))
        .then(
          () => "started",
          ({ message }: Error) => message,
        );
    expect(await start("node: dir2", "node: conv1")).to.match(/ended with 78:.*another living node called conv1/s);
    expect(await start("steering: steer", "steering: announce")).to.match(/ended with 78:.*another steering/s);
    await farm.start("dir2");
  });

  it("takes back what closed connections owned", async () => {
    await until(async () => !/:[tf]:/.test(await farm.redis.command(0, "--scan")), {
      what: "no token and no flow is left in Redis",
      limitMs: 5000,
    });
    for (const name of CONVERTERS) expect((await farm.farmStatus(name)).published?.tokens).to.equal(0);
  });

  for (const { home, family } of HOMES) {
    it(`loses no connection when a director goes, and when it comes back, over ${family}`, async () => {
      const connections = await traffic.connectWithJoins(home, 10);
      const before = (await farm.farmStatus("dir2")).director?.fromRegistry ?? 0;
      expect(await traffic.lostAcross(connections.slice(0, 5), () => farm.route(["dir2"]))).to.equal(0);
      expect((await farm.farmStatus("dir2")).director?.fromRegistry).to.be.greaterThan(before);
      expect(await traffic.lostAcross(connections.slice(5), () => farm.route(DIRECTORS))).to.equal(0);
    });
  }

  it("loses no connection when a director is killed, and takes new ones while it is away", async () => {
    const connections = await traffic.connectWithJoins(1, 10);
    expect(
      await traffic.lostAcross(connections, async () => {
        await farm.daemon("dir1").end("SIGKILL");
      }),
    ).to.equal(0);
    for (let count = 0; count < 10; count++) await traffic.connect(1);
    await farm.start("dir1");
    await traffic.connectWithJoins(1, 10);
  });

  for (const name of CONVERTERS) {
    it(`is upgraded node by node: ${name} drains without new connections, keeps its joins, ends in peace and comes back`, async () => {
      const connections = await traffic.connectWithJoins(1, 12);
      const { MPCapableSYNRX: before } = farm.multipathCounters(name);
      await farm.run(name, "drain");
      for (const director of DIRECTORS) await becomes("draining", name, director);
      await traffic.connectWithJoins(1, 12);
      expect(farm.multipathCounters(name).MPCapableSYNRX).to.equal(before);
      expect(await traffic.lostAcross(connections, async () => {})).to.equal(0);
      await traffic.closeAll();
      expect(await farm.daemon(name).end("SIGCONT")).to.equal(0);
      await becomes("down", name, "dir1");
      // It comes back in the middle of others' transfers.
      const others = await traffic.connectWithJoins(1, 5);
      expect(await traffic.lostAcross(others, () => farm.start(name))).to.equal(0);
    });
  }

  /** Waits until a director sees a node in this state. */
  async function becomes(state: string, name: string, director: string): Promise<void> {
    await until(
      async () => (await farm.farmStatus(director)).nodes.find(({ node }) => node === name)?.state === state,
      { what: `${name} is ${state} for ${director}`, limitMs: 5000 },
    );
  }

  it("counts what others wrote into Redis, and goes by none of it", async () => {
    const member = (address: string) => JSON.stringify({ addresses: [address], state: "up", weight: 1000, load: 0 });
    const strangers: readonly (readonly [string, string])[] = [
      ["outside", `99999999999999 192.0.2.1 ${member("192.0.2.1")}`],
      ["Bad_Name", `99999999999999 10.8.0.77 ${member("10.8.0.77")}`],
      ["garbled", "99999999999999 10.8.0.78 {]"],
    ];
    for (const [name, value] of strangers) await farm.redis.command(0, "hset", "ha:{farm}:members", name, value);
    await until(
      async () => {
        const { registry } = await farm.farmStatus("dir1");
        return registry.foreign === 1 && registry.corrupt >= 2;
      },
      { what: "the director has counted them", limitMs: 5000 },
    );
    expect((await farm.farmStatus("dir1")).nodes.map(({ node }) => node)).to.have.members([
      ...DIRECTORS,
      ...CONVERTERS,
    ]);
    await traffic.connectWithJoins(1, 20);
    for (const [name] of strangers) await farm.redis.command(0, "hdel", "ha:{farm}:members", name);
  });

  it("loses only a killed converter's connections, and new ones work within a second", async function () {
    kernelOnly(this, "which resets the connections of a process that is killed");
    const connections = await traffic.connectWithJoins(1, 30);
    const loads = await Promise.all(CONVERTERS.map((name) => farm.farmStatus(name)));
    const own = loads[CONVERTERS.indexOf("conv2")]?.published?.tokens ?? 0;
    let lost = 0;
    for (const { client } of connections) {
      client.resume().once("close", () => {
        lost += 1;
      });
    }
    await farm.daemon("conv2").end("SIGKILL");
    for (let count = 0; count < 10; count++) {
      const startMs = performance.now();
      await traffic.connect(1);
      expect(performance.now() - startMs).to.be.below(1000);
    }
    await until(() => lost >= own, { what: "the killed converter's connections end", limitMs: 5000 });
    const left = connections.filter(({ client }) => !client.closed);
    expect(left.length).to.equal(connections.length - own);
    expect(await traffic.lostAcross(left, async () => {})).to.equal(0);
    await becomes("lost", "conv2", "dir1");
    const leftovers = async () => (await farm.redis.command(0, "--scan", "--pattern", "ha:*:n:conv2")) !== "";
    expect(await leftovers()).to.equal(own > 0);
    await farm.start("conv2");
    await until(async () => !(await leftovers()), { what: "it has taken back its tokens", limitMs: 5000 });
  });

  it("steers joins by the third ACK it saw while Redis is away: all of them through one director", async () => {
    await farm.route(["dir1"]);
    farm.redis.signal(0, "SIGKILL");
    try {
      await until(async () => !(await farm.farmStatus("dir1")).registry.connected, {
        what: "Redis is away",
        limitMs: 5000,
      });
      const before = (await farm.farmStatus("dir1")).director;
      const resets = sumOf(farm, CONVERTERS, "MPJoinNoTokenFound");
      await traffic.connectWithJoins(1, 20);
      await traffic.connectWithJoins(2, 20);
      const after = (await farm.farmStatus("dir1")).director;
      expect((after?.learnt ?? 0) - (before?.learnt ?? 0)).to.be.at.least(40);
      expect((after?.fromPath ?? 0) - (before?.fromPath ?? 0)).to.be.at.least(40);
      expect(sumOf(farm, CONVERTERS, "MPJoinNoTokenFound")).to.equal(resets);
    } finally {
      await farm.startRedis();
      await farm.route(DIRECTORS);
    }
    await until(async () => (await farm.farmStatus("dir1")).registry.connected, {
      what: "Redis is back",
      limitMs: 5000,
    });
  });

  it("goes on without Redis: connections stay, new ones are made, and joins come back with it", async () => {
    const connections = await traffic.connectWithJoins(1, 10);
    expect(
      await traffic.lostAcross(connections, async () => {
        farm.redis.signal(0, "SIGKILL");
        for (let count = 0; count < 10; count++) await traffic.connect(1);
      }),
    ).to.equal(0);
    await farm.startRedis();
    await until(async () => (await farm.farmStatus("conv1")).registry.connected, {
      what: "Redis is back",
      limitMs: 5000,
    });
    await traffic.connectWithJoins(1, 10);
  });
});

describe("a farm whose gateways are directors and converters at once", function () {
  this.timeout(30_000);
  let farm: FarmLab;
  let traffic: FarmTraffic;
  const nodes = ["hag1", "hag2", "hag3"];

  before(async () => {
    const gateways = nodes.map((name) => ({ name, role: "both" }) as const);
    farm = await FarmLab.up({ homes: 2, gateways, farmSettings: ["tokenLife: 10s"] }, nodes);
    traffic = new FarmTraffic(farm);
  });
  afterEach(() => traffic?.closeAll());
  after(async () => {
    await traffic?.close();
    await farm?.down();
  });

  for (const { home, family } of HOMES) {
    it(`brings 100 of 100 joins to their owner over ${family}, without a reset`, async () => {
      await traffic.connectWithJoins(home, 100);
      expect(sumOf(farm, nodes, "MPJoinNoTokenFound")).to.equal(0);
      for (const name of nodes) expect((await farm.farmStatus(name)).published?.tokens, name).to.be.greaterThan(10);
    });
  }

  it("counts a token that another living node has too, and the connection stays usable", async () => {
    const connections = await traffic.connectWithJoins(1, 1);
    const key = (await farm.redis.command(0, "--scan", "--pattern", "ha:*:t:*")).trim();
    const owner = (await farm.redis.command(0, "get", key)).trim();
    const other = nodes.find((name) => name !== owner) ?? "";
    await farm.redis.command(0, "set", key, other, "px", "60000");
    // The owner finds out when it renews its claim.
    await until(async () => ((await farm.farmStatus(owner)).published?.collisions ?? 0) > 0, {
      what: "the owner has counted the collision",
      limitMs: 8000,
    });
    expect((await farm.redis.command(0, "get", key)).trim()).to.equal(other);
    expect(await traffic.lostAcross(connections, async () => {})).to.equal(0);
    await farm.redis.command(0, "del", key);
  });

  it("loses no connection when the router moves every flow", async () => {
    const lookups = async () => {
      const all = await Promise.all(nodes.map((name) => farm.farmStatus(name)));
      return all.reduce((sum, { director }) => sum + (director?.fromRegistry ?? 0), 0);
    };
    const connections = await traffic.connectWithJoins(1, 10);
    const before = await lookups();
    // The same three ways in another order: each flow takes the next one.
    const lost = await traffic.lostAcross(connections, () => farm.route(["hag2", "hag3", "hag1"]));
    expect(lost).to.equal(0);
    expect(await lookups()).to.be.greaterThan(before);
  });
});

describe("a farm whose directors announce its address by BIRD", function () {
  this.timeout(60_000);
  let farm: FarmLab;
  let traffic: FarmTraffic;

  before(async () => {
    const gateways = [...GATEWAYS.slice(0, 2), { name: "conv1", role: "converter" } as const];
    farm = await FarmLab.up({ homes: 1, gateways, bird: true }, ["dir1", "dir2", "conv1"]);
    traffic = new FarmTraffic(farm);
  });
  after(async () => {
    await traffic?.close();
    await farm?.down();
  });

  async function routes(count: number): Promise<void> {
    await until(async () => (await farm.routesToFarm()).every((hops) => hops === count), {
      what: `the router has ${count} ways to the farm`,
      limitMs: 15_000,
    });
  }

  it("loses no connection when one drains: its way is withdrawn, and comes back with it", async () => {
    const connections = await traffic.connectWithJoins(1, 10);
    const lost = await traffic.lostAcross(connections, async () => {
      await farm.run("dir1", "drain");
      await routes(1);
      await traffic.connectWithJoins(1, 10);
    });
    expect(lost).to.equal(0);
    expect(await farm.daemon("dir1").end("SIGCONT")).to.equal(0);
    await farm.start("dir1");
    await routes(2);
  });

  it("withdraws every way when no converter is left, and announces again when one is", async () => {
    await farm.daemon("conv1").end("SIGKILL");
    await routes(0);
    await farm.start("conv1");
    await routes(2);
    await traffic.connectWithJoins(1, 10);
  });
});
