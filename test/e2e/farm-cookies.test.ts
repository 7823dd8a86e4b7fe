import { expect } from "chai";
import { FarmLab } from "../lab/farm.ts";
import { FarmTraffic } from "../lab/farm-traffic.ts";
import { until } from "../lab/until.ts";

const CONVERTERS = ["conv1", "conv2"];
const LATE = "conv3";
const GATEWAYS = [
  { name: "dir1", role: "director" } as const,
  ...[...CONVERTERS, LATE].map((name) => ({ name, role: "converter" }) as const),
];
const KEY = "ha:{farm}:cookies";

describe("cookies of a farm that shares their keys", function () {
  this.timeout(40_000);
  let farm: FarmLab;
  let traffic: FarmTraffic;

  before(async () => {
    farm = await FarmLab.up({ homes: 1, gateways: GATEWAYS, farmSettings: ["cookieKeys: shared"] }, [
      "dir1",
      ...CONVERTERS,
    ]);
    traffic = new FarmTraffic(farm);
  });
  afterEach(() => traffic?.closeAll());
  after(async () => {
    await traffic?.close();
    await farm?.down();
  });

  /** What these converters count together. */
  async function counted(counter: string, names: readonly string[] = CONVERTERS): Promise<number> {
    const all = await Promise.all(names.map((name) => farm.gatewayCounters(name)));
    return all.reduce((sum, counters) => sum + (counters[counter] ?? 0), 0);
  }

  const knownKeys = async () => (await farm.redis.command(0, "get", KEY)).trim();

  async function knowsKeys(name: string): Promise<boolean> {
    return (await farm.farmStatus(name)).cookieKeys?.mode === "shared";
  }

  it("one from either converter is good at both: a home asks for one once", async () => {
    for (let count = 0; count < 20; count++) await traffic.connect(1);
    for (const name of CONVERTERS) {
      expect((await farm.gatewayCounters(name)).connectionsActive, name).to.be.greaterThan(2);
    }
    expect(await counted("cookiesRefused")).to.equal(0);
    // The error that brings the cookie.
    expect(await counted("convertErrors")).to.equal(1);
    expect((await farm.homeStatus(1)).counters.connectionsDirect).to.equal(0);
  });

  it("is good while Redis is away, and after Redis has lost the keys: the converters bring them back", async () => {
    const keys = await knownKeys();
    expect(keys).to.match(/^\d+ [0-9a-f]{64}$/);
    farm.redis.signal(0, "SIGKILL");
    for (let count = 0; count < 10; count++) await traffic.connect(1);
    await farm.start(LATE);
    expect(await knowsKeys(LATE)).to.equal(false);
    await farm.startRedis();
    await until(async () => (await knownKeys()).includes(keys), { what: "the key is back", limitMs: 5000 });
    // Where the late one came back to Redis first, the key that it drew for itself is the farm's too.
    const all = (await knownKeys()).split(" ").length / 2;
    await until(async () => (await farm.farmStatus(LATE)).cookieKeys?.keys === all && (await knowsKeys(LATE)), {
      what: `${LATE} has heard of the farm's keys`,
      limitMs: 10_000,
    });
    const isSteeredTo = async () =>
      (await farm.farmStatus("dir1")).nodes.some(({ node, state }) => node === LATE && state === "up");
    await until(isSteeredTo, { what: `the director knows ${LATE}`, limitMs: 10_000 });
    const accepted = async () => (await farm.gatewayCounters(LATE)).connectionsMultipath ?? 0;
    for (let count = 0; count < 40 && (await accepted()) < 3; count++) await traffic.connect(1);
    expect(await accepted()).to.equal(3);
    expect(await counted("cookiesRefused", [...CONVERTERS, LATE])).to.equal(0);
    expect((await farm.homeStatus(1)).counters.connectionsDirect).to.equal(0);
  });
});
