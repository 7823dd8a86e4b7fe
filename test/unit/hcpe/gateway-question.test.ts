import { type Endpoint, formatIpAddress, type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { GatewayHealth } from "@hybrid-access/hcpe/gateway-health";
import { type Asking, askInTurn } from "@hybrid-access/hcpe/gateway-question";
import type { InfoAnswer } from "@hybrid-access/hcpe/probe";
import { expect } from "chai";
import pino from "pino";
import { eventually } from "../../support/eventually.ts";

const DSL = ipAddress("10.1.1.2");
const LTE = ipAddress("10.1.2.2");
const NAMES = new Map([
  [DSL, "dsl"],
  [LTE, "lte"],
]);
const FIRST: Endpoint = { address: ipAddress("10.9.9.9"), port: 5124 };
const SECOND: Endpoint = { address: ipAddress("10.9.9.8"), port: 5124 };

const ANSWERED: InfoAnswer = { outcome: "answered", load: 7 };
const SILENT: InfoAnswer = { outcome: "failed", reason: "no answer in time", heard: false };
const REFUSED: InfoAnswer = { outcome: "failed", reason: "ECONNREFUSED", heard: true };

/** A network: what comes of asking, by "uplink>gateway"; silence otherwise. Writes down what was sent. */
class Network implements Asking {
  readonly answers = new Map<string, InfoAnswer>();
  readonly sent: string[] = [];

  #answer({ address }: Endpoint, source: IpAddress | undefined): InfoAnswer {
    const way = `${source && NAMES.get(source)}>${formatIpAddress(address)}`;
    this.sent.push(way);
    return this.answers.get(way) ?? SILENT;
  }

  info = async (gateway: Endpoint, source: IpAddress | undefined) => this.#answer(gateway, source);

  reaches = async (gateway: Endpoint, source: IpAddress | undefined) => {
    const answer = this.#answer(gateway, source);
    return answer.outcome !== "failed" || answer.heard;
  };
}

describe("a question to a gateway", () => {
  const question = { gateway: FIRST, sources: [DSL, LTE], witnesses: [SECOND], wantsLoad: true };

  for (const [what, answers, outcome, sent] of [
    [
      "over the preferred uplink alone when it is answered there",
      { "dsl>10.9.9.9": ANSWERED },
      ANSWERED,
      ["dsl>10.9.9.9"],
    ],
    [
      "over no other uplink when the gateway refuses: it was reached",
      { "dsl>10.9.9.9": REFUSED },
      REFUSED,
      ["dsl>10.9.9.9"],
    ],
    [
      "over no other uplink while another gateway is reached over the preferred one: that works",
      { "dsl>10.9.9.8": ANSWERED, "lte>10.9.9.9": ANSWERED },
      SILENT,
      ["dsl>10.9.9.9", "dsl>10.9.9.8"],
    ],
    [
      "over the next uplink when nothing at all comes back over the preferred one",
      { "lte>10.9.9.9": ANSWERED },
      ANSWERED,
      ["dsl>10.9.9.9", "dsl>10.9.9.8", "lte>10.9.9.9"],
    ],
    ["over every uplink before it has failed", {}, SILENT, ["dsl>10.9.9.9", "dsl>10.9.9.8", "lte>10.9.9.9"]],
  ] as const) {
    it(`is asked ${what}`, async () => {
      const network = new Network();
      for (const [way, answer] of Object.entries(answers)) network.answers.set(way, answer);
      expect(await askInTurn(question, network)).to.deep.equal(outcome);
      expect(network.sent).to.deep.equal(sent);
    });
  }

  it("is asked over the next uplink where no other gateway serves that could tell", async () => {
    const network = new Network();
    network.answers.set("lte>10.9.9.9", ANSWERED);
    expect(await askInTurn({ ...question, witnesses: [] }, network)).to.equal(ANSWERED);
    expect(network.sent).to.deep.equal(["dsl>10.9.9.9", "lte>10.9.9.9"]);
  });

  it("tells the reason of the preferred uplink when it fails over all", async () => {
    const network = new Network();
    network.answers.set("lte>10.9.9.9", REFUSED);
    expect(await askInTurn({ ...question, witnesses: [] }, network)).to.equal(SILENT);
  });
});

describe("the health of gateways", () => {
  it("is found out over the preferred uplink while that works, whichever gateway is down", async () => {
    const network = new Network();
    network.answers.set("dsl>10.9.9.8", ANSWERED);
    const places = [FIRST, SECOND].map((endpoint) => ({ name: null, endpoint, used: true }));
    const health = new GatewayHealth({
      places,
      memory: GatewayHealth.createMemory(places.length),
      sourcesFor: () => [DSL, LTE],
      checkMs: () => 1,
      asking: network,
      log: pino({ level: "silent" }),
    });
    try {
      health.start();
      await eventually(5000, () => {
        expect(health.status().map(({ up }) => up)).to.deep.equal([false, true]);
        expect(network.sent.filter((way) => way === "dsl>10.9.9.8")).to.have.lengthOf.at.least(20);
      });
      expect(network.sent.filter((way) => way.startsWith("lte"))).to.deep.equal([]);
      // Both are silent now: it may be the uplink.
      network.answers.clear();
      network.answers.set("lte>10.9.9.8", ANSWERED);
      await eventually(5000, () => expect(network.sent).to.include("lte>10.9.9.8"));
      expect(health.status()[1]).to.include({ up: true });
    } finally {
      health.stop();
    }
  });
});
