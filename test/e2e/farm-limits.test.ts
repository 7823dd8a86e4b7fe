import { ERROR_CODE } from "@hybrid-access/core/wire/convert/codes";
import { expect } from "chai";
import { ConvertClient, connectTo, errorCode } from "../lab/convert-client.ts";
import { FARM_SERVER, FarmLab } from "../lab/farm.ts";
import { FarmTraffic } from "../lab/farm-traffic.ts";
import { until } from "../lab/until.ts";

const CONVERTERS = ["conv1", "conv2"];
const GATEWAYS = [
  { name: "dir1", role: "director" } as const,
  ...CONVERTERS.map((name) => ({ name, role: "converter" }) as const),
];
/** The converters' own addresses: who asks there is not at a director's mercy. */
const CONVERTER_ADDRESSES = ["10.8.0.12", "10.8.0.13"];
/** The home as the farm sees it, and another address of the same node, of which the farm has not heard. */
const CLIENTS = { home: "10.1.2.2", other: "10.1.3.2" };
const LIMIT = 20;
const SERVER_PORT = 7000;

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

    /** Asks every converter for so many connections, and gives how many each has made, and refused for the limit. */
    async function ask(from: string, count: number): Promise<{ made: number; refused: number }[]> {
      const request = connectTo(FARM_SERVER.ipv4, SERVER_PORT);
      const clients = CONVERTER_ADDRESSES.map((gateway) =>
        Array.from({ length: count }, () => new ConvertClient(farm.lab, request, { node: "hcpe1", from, gateway })),
      );
      try {
        return await Promise.all(
          clients.map(async (ofOne) => {
            const outcomes = await Promise.all(ofOne.map((client) => client.answer()));
            return {
              made: outcomes.filter(({ message }) => message?.[0]?.type === "extendedTcpHeader").length,
              refused: outcomes.filter((outcome) => errorCode(outcome) === ERROR_CODE.resourceExceeded).length,
            };
          }),
        );
      } finally {
        for (const client of clients.flat()) client.reset();
      }
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
      expect(await ask(CLIENTS.home, 5)).to.deep.equal(Array(2).fill({ made: 0, refused: 5 }));
    });

    it(
      withoutRedis === "own" ? "without Redis each converter allows them all" : "without Redis each allows its half",
      async () => {
        await traffic.closeAll();
        await openAre((all) => all === 0, "all are closed");
        farm.redis.signal(0, "SIGKILL");
        await until(() => modes(withoutRedis), { what: "the converters count alone", limitMs: 8000 });
        const each = LIMIT / (withoutRedis === "own" ? 1 : 2);
        expect(await ask(CLIENTS.other, each + 5)).to.deep.equal(Array(2).fill({ made: each, refused: 5 }));
        await farm.startRedis();
        await until(() => modes("shared"), { what: "they count together again", limitMs: 8000 });
      },
    );
  });
}
