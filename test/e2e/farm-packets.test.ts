import { createHash } from "node:crypto";
import { readUint32 } from "@hybrid-access/core/base/bytes";
import { randomBelow, SeededRandom } from "@hybrid-access/core/base/random";
import { expect } from "chai";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { FARM_PORT, FarmLab, type FarmOptions, VIRTUAL } from "../lab/farm.ts";
import { FarmTraffic, sumOf } from "../lab/farm-traffic.ts";
import { Forger } from "../lab/forged-syn.ts";
import { type CaughtPacket, joinOption, keysOption, RawPackets, TCP_FLAG } from "../lab/raw-packets.ts";
import { until } from "../lab/until.ts";

const CONVERTERS = ["conv1", "conv2"];
const DIRECTORS = ["dir1", "dir2"];
const FARM: FarmOptions = {
  homes: 1,
  gateways: [
    ...DIRECTORS.map((name) => ({ name, role: "director" }) as const),
    ...CONVERTERS.map((name) => ({ name, role: "converter" }) as const),
  ],
  farmSettings: ["joinsWithoutRedis: hash"],
};

describe("packets at a running director", function () {
  this.timeout(40_000);
  let farm: FarmLab;

  before(async function () {
    kernelOnly(this, "whose raw sockets and counters show what has come to a converter");
    farm = await FarmLab.up(FARM, [...DIRECTORS, ...CONVERTERS]);
    await farm.route(["dir1"]);
  });
  after(() => farm?.down());

  async function director(): Promise<Readonly<Record<string, unknown>>> {
    return (await farm.farmStatus("dir1")).director ?? {};
  }

  /** Waits for `count` packets of a source port to arrive at converters. */
  async function arrive(packets: RawPackets, sourcePort: number, count: number): Promise<CaughtPacket[]> {
    const arrived: CaughtPacket[] = [];
    await until(
      () => {
        arrived.push(...packets.caught().filter((packet) => packet.sourcePort === sourcePort));
        return arrived.length >= count;
      },
      { what: `${count} packets arrive`, limitMs: 5000, everyMs: 5 },
    );
    return arrived;
  }

  it("do not wait for it once their flow is known: the third ACK keeps its place before the data, and gives the token", async () => {
    const packets = new RawPackets(farm.lab, "core", CONVERTERS, VIRTUAL.ipv4, FARM_PORT);
    const gatewayKey = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const token = readUint32(createHash("sha256").update(gatewayKey).digest(), 0);
    try {
      packets.send({ sourcePort: 2000, flags: TCP_FLAG.syn });
      const [syn] = await arrive(packets, 2000, 1);
      const stopped = farm.daemon("dir1").process;
      stopped.kill("SIGSTOP");
      try {
        packets.send({ sourcePort: 2000, flags: TCP_FLAG.ack, options: keysOption(gatewayKey) });
        packets.send({ sourcePort: 2000, flags: TCP_FLAG.ack, payload: new Uint8Array(100) });
        const later = await arrive(packets, 2000, 2);
        expect(later.map(({ node, payloadBytes }) => [node, payloadBytes])).to.deep.equal([
          [syn?.node, 0],
          [syn?.node, 100],
        ]);
      } finally {
        stopped.kill("SIGCONT");
      }
      await until(async () => (await director()).learnt === 1, { what: "the token is learnt", limitMs: 5000 });
      // Redis knows nobody who has it.
      packets.send({ sourcePort: 2001, flags: TCP_FLAG.syn, options: joinOption(token) });
      expect((await arrive(packets, 2001, 1))[0]?.node).to.equal(syn?.node);
      expect((await director()).fromPath).to.equal(1);
    } finally {
      packets.close();
    }
  });

  it("with malformed TCP options get every answer that the converter's kernel alone would give", async () => {
    const random = new SeededRandom(41);
    const all = Array.from({ length: 300 }, () => mangled(random));
    // From ports of their own, so that no flow of one way is known on the other.
    await farm.route(["conv1"]);
    const straight = await answered(all, 10_000);
    await farm.route(["dir1"]);
    const before = await director();
    const directed = await answered(all, 20_000);
    const after = await director();
    expect(straight.length).to.be.within(150, 299);
    const lost = straight.filter((index) => !directed.includes(index)).map((index) => Array.from(all[index] ?? []));
    expect(lost).to.deep.equal([]);
    expect(Number(after.hashed) - Number(before.hashed)).to.be.at.least(straight.length);
    // What is a join by its bytes is looked up: nobody has its token, or Redis is late to say so.
    const lookedUp = (counts: Readonly<Record<string, unknown>>) =>
      Number(counts.unknown) + Number(counts.byChance) + Number(counts.unanswered);
    expect(lookedUp(after) - lookedUp(before)).to.be.at.least(5);
  });

  /** Sends a SYN with each of these options from the home, and gives the indices of those that were accepted. */
  async function answered(all: readonly Uint8Array[], firstPort: number): Promise<number[]> {
    const home = "10.1.2.2";
    const forger = new Forger(farm.lab, "hcpe1");
    const answers = new RawPackets(farm.lab, "hcpe1", ["hcpe1"], VIRTUAL.ipv4, FARM_PORT, VIRTUAL.ipv4);
    const accepted = new Set<number>();
    const collect = () => {
      for (const { destinationPort, flags } of answers.caught()) {
        if (flags === (TCP_FLAG.syn | TCP_FLAG.ack)) accepted.add(destinationPort - firstPort);
      }
    };
    try {
      for (const [index, options] of all.entries()) {
        const ends = { from: home, fromPort: firstPort + index, to: VIRTUAL.ipv4, toPort: FARM_PORT };
        forger.send({ ...ends, sequence: index, options, payload: new Uint8Array() });
      }
      // A last, ordinary one: what was sent before it has been decided.
      const ends = { from: home, fromPort: firstPort + all.length, to: VIRTUAL.ipv4, toPort: FARM_PORT };
      await until(
        () => {
          forger.send({ ...ends, sequence: 1, options: [], payload: new Uint8Array() });
          collect();
          return accepted.has(all.length);
        },
        { what: "an ordinary SYN is answered", limitMs: 5000, everyMs: 100 },
      );
      collect();
    } finally {
      forger.close();
      answers.close();
    }
    accepted.delete(all.length);
    return Array.from(accepted).sort((left, right) => left - right);
  }

  it("that join go to some converter while Redis is away, if told so, and connections stay usable", async () => {
    const traffic = new FarmTraffic(farm);
    await farm.route(DIRECTORS);
    farm.redis.signal(0, "SIGKILL");
    try {
      for (const name of DIRECTORS) {
        const connected = async () => (await farm.farmStatus(name)).registry.connected;
        await until(async () => !(await connected()), { what: `${name} has lost Redis`, limitMs: 5000 });
      }
      const decided = async (what: string) => {
        const all = await Promise.all(DIRECTORS.map((name) => farm.farmStatus(name)));
        return all.reduce((sum, { director }) => sum + Number(director?.[what] ?? 0), 0);
      };
      const before = { unanswered: await decided("unanswered"), resets: sumOf(farm, CONVERTERS, "MPJoinNoTokenFound") };
      const connections = [];
      for (let count = 0; count < 40; count++) connections.push(await traffic.connect(1));
      // A join whose connection came by the other director goes by chance: half of them to the wrong converter.
      await until(async () => (await decided("byChance")) >= 10, { what: "joins went by chance", limitMs: 5000 });
      await until(() => sumOf(farm, CONVERTERS, "MPJoinNoTokenFound") - before.resets >= 2, {
        what: "some were reset",
        limitMs: 5000,
      });
      expect(await decided("unanswered")).to.equal(before.unanswered);
      expect(await traffic.lostAcross(connections, async () => {})).to.equal(0);
    } finally {
      await traffic.close();
      await farm.startRedis();
    }
  });
});

/** Options of an ordinary SYN, of one of Multipath TCP, of a join; then up to three bytes are others, or the end is missing. */
function mangled(random: SeededRandom): Uint8Array {
  const below = (bound: number) => randomBelow(random, bound);
  const ordinary = [2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7];
  const kinds = [[], [30, 4, 0x01, 0x01], [30, 12, 0x10, 2, 0xca, 0xfe, 0, 1, 9, 9, 9, 9]];
  const bytes = Uint8Array.from([...ordinary, ...(kinds[below(kinds.length)] ?? [])]);
  for (let count = below(4); count > 0; count--) bytes[below(bytes.length)] = below(256);
  return bytes.subarray(0, bytes.length - (below(3) === 0 ? below(8) : 0));
}
