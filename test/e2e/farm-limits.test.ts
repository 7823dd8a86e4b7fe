import { expect } from "chai";
import { FarmLab } from "../lab/farm.ts";
import { FarmTraffic } from "../lab/farm-traffic.ts";
import { until } from "../lab/until.ts";

const CONVERTERS = ["conv1", "conv2"];
const GATEWAYS = [
  { name: "dir1", role: "director" } as const,
  ...CONVERTERS.map((name) => ({ name, role: "converter" }) as const),
];
const LIMIT = 20;

for (const withoutRedis of ["own", "divided"] as const) {
  describe(`limits by client over a farm of two converters, and ${withoutRedis} ones without Redis`, function () {
    this.timeout(40_000);
    let farm: FarmLab;
    let traffic: FarmTraffic;

    before(async () => {
      farm = await FarmLab.up(
        {
          homes: 1,
          gateways: GATEWAYS,
          farmSettings: ["clientLimits: shared", `limitsWithoutRedis: ${withoutRedis}`],
          settings: `limits: { open: ${LIMIT} }`,
        },
        ["dir1", ...CONVERTERS],
      );
      traffic = new FarmTraffic(farm);
    });
    after(async () => {
      await traffic?.close();
      await farm?.down();
    });

    /** Open connections of the farm's clients, by converter. */
    async function open(): Promise<number[]> {
      const { nodes } = await farm.farmStatus("dir1");
      return CONVERTERS.map((name) => nodes.find(({ node }) => node === name)?.load ?? 0);
    }

    async function openAre(check: (all: number, each: readonly number[]) => boolean, what: string): Promise<void> {
      await until(
        async () => {
          const each = await open();
          return check(
            each.reduce((sum, one) => sum + one, 0),
            each,
          );
        },
        { what, limitMs: 8000 },
      );
    }

    /** Every connection reaches the server: those that the farm refuses go direct. */
    async function connect(count: number): Promise<void> {
      for (let made = 0; made < count; made++) await traffic.connect(1);
    }

    const modes = async (mode: string) => {
      const all = await Promise.all(CONVERTERS.map((name) => farm.farmStatus(name)));
      return all.every(({ clientLimits }) => clientLimits?.mode === mode);
    };
    /** Between them the converters have heard of so many connections of each other's. */
    async function told(count: number): Promise<void> {
      await until(
        async () => {
          const all = await Promise.all(CONVERTERS.map((name) => farm.farmStatus(name)));
          return all.reduce((sum, { clientLimits }) => sum + (clientLimits?.connections ?? 0), 0) === count;
        },
        { what: `the converters have told each other of ${count} connections`, limitMs: 8000 },
      );
    }

    it("a client has as many connections in the farm as one gateway would allow it", async () => {
      await connect(LIMIT - 1);
      await told(LIMIT - 1);
      expect((await open()).every((one) => one > 0)).to.equal(true);
      await connect(1);
      await told(LIMIT);
      await connect(5);
      await openAre((all) => all === LIMIT, `${LIMIT} connections are open`);
      const counters = await Promise.all(CONVERTERS.map((name) => farm.gatewayCounters(name)));
      const sum = (name: string) => counters.reduce((total, each) => total + (each[name] ?? 0), 0);
      expect(sum("connectionsMultipath")).to.equal(LIMIT);
      // The home asks no more for a while once it was refused.
      expect(sum("clientLimitRefused")).to.be.at.least(1);
    });

    it(
      withoutRedis === "own" ? "without Redis each converter allows them all" : "without Redis each allows its half",
      async () => {
        await traffic.closeAll();
        await openAre((all) => all === 0, "all are closed");
        farm.redis.signal(0, "SIGKILL");
        await until(() => modes(withoutRedis), { what: "the converters count alone", limitMs: 8000 });
        const established = async () => {
          const all = await Promise.all(CONVERTERS.map((name) => farm.run(name, "status", "--json")));
          return all.map(
            (text) => (JSON.parse(text) as { counters: Record<string, number> }).counters.connectionsActive ?? 0,
          );
        };
        const each = LIMIT / (withoutRedis === "own" ? 1 : 2);
        await connect(3 * LIMIT);
        // Once one is full, and refuses the home's probes too, the home goes direct for a while: the other need not be.
        await until(async () => Math.max(...(await established())) === each, {
          what: `a converter has ${each} connections`,
          limitMs: 8000,
        });
        const [least = 0, most = 0] = (await established()).toSorted((left, right) => left - right);
        expect(most).to.equal(each);
        expect(least).to.be.within(1, each);
        await farm.startRedis();
        await until(() => modes("shared"), { what: "they count together again", limitMs: 8000 });
      },
    );
  });
}
