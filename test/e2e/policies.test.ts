import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { readPcapng } from "../lab/capture.ts";
import { PathTrial } from "../lab/path-trial.ts";
import { readSubflowPacket } from "../lab/subflow-packet.ts";
import { DIRECTIONS } from "../lab/transfer.ts";

describe("subflow policies in the lab", function () {
  this.timeout(60_000);
  let trial: PathTrial;

  before(async () => {
    trial = await PathTrial.up("backup");
  });
  after(async () => {
    await trial?.down();
  });

  for (const direction of DIRECTIONS) {
    it(`backup, ${direction}: LTE carries nothing while DSL works, and takes over within 0.3 s of DSL's link`, async () => {
      await trial.usePolicy("backup");
      const { lte, stallSeconds, whole } = await trial.failover(direction, "link down", 1000);
      expect(lte.payloadBytes).to.equal(0);
      expect(stallSeconds).to.be.at.most(0.3);
      expect(whole).to.equal(true);
    });

    it(`single-path, ${direction}: not a packet on LTE while DSL works, and on it within 1 s of DSL's link`, async () => {
      await trial.usePolicy("single-path");
      const { lte, stallSeconds, whole } = await trial.failover(direction, "link down", 1000);
      expect(lte.packets).to.equal(0);
      expect(stallSeconds).to.be.at.most(1);
      expect(whole).to.equal(true);
    });

    it(`overflow, ${direction}: LTE joins when DSL is full and leaves when it is not`, async () => {
      await trial.usePolicy("overflow");
      const { calm, joinSeconds, share, leaveSeconds, whole } = await trial.overflow(direction, 1500, 3000);
      expect(calm.payloadBytes).to.equal(0);
      expect(joinSeconds).to.be.at.most(1);
      expect(share).to.be.at.least(0.9);
      expect(leaveSeconds).to.be.at.most(5);
      expect(whole).to.equal(true);
    });
  }

  for (const direction of DIRECTIONS) {
    it(`aggregate, ${direction}: a new subflow is backup, and carries nothing before that is taken back`, async () => {
      await trial.usePolicy("aggregate");
      const { pair } = trial;
      await pair.lab.capture("lte", pair.file("join.pcapng"));
      const stream = await trial.stream(direction);
      await sleep(1000);
      await pair.lab.capture("lte", null);
      expect(await stream.finish()).to.equal(true);
      const packets = readPcapng(pair.readFile("join.pcapng")).map(readSubflowPacket);
      expect(packets.find(({ join }) => join !== undefined)).to.deep.include({ join: { backup: true } });
      const firstPayload = packets.findIndex(({ payloadBytes }) => payloadBytes > 0);
      const priority = packets.findIndex(({ priority }) => priority?.backup === false);
      expect(priority, "MP_PRIO").to.be.at.least(0);
      expect(firstPayload, "payload on LTE").to.be.above(priority);
    });
  }

  it("backup: LTE takes over within 1.5 s when DSL drops everything without a word", async () => {
    await trial.usePolicy("backup");
    const { stallSeconds, whole } = await trial.failover("download", "silence", 500);
    expect(stallSeconds).to.be.at.most(1.5);
    expect(whole).to.equal(true);
  });

  it("a reload changes the policy of open connections and cuts none", async () => {
    const policies = ["aggregate", "single-path", "backup", "ndiffports", "overflow", "fullmesh"];
    expect(await trial.reloads(policies, 300)).to.equal(true);
  });

  it("uplinks that come and go cost no byte", async () => {
    await trial.usePolicy("aggregate");
    expect(await trial.flaps(6, 800)).to.equal(true);
  });

  it("a rule gives connections to one port a policy of their own", async () => {
    await trial.usePolicy("aggregate", "rules: [ { ports: 7100, destinations: 10.3.3.0/24, policy: single-path } ]\n");
    await trial.lteMeter.quiet();
    const stream = await trial.stream("download");
    const { packets } = await trial.lteMeter.during(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
    });
    expect(packets).to.equal(0);
    expect(await stream.finish()).to.equal(true);
  });
});
