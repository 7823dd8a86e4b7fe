import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { askDaemon } from "@hybrid-access/core/services/admin";
import type { LoggedEvent } from "@hybrid-access/hcpe/event-log";
import type { QuotaStatus } from "@hybrid-access/hcpe/quota-keeper";
import { expect } from "chai";
import { protocolCounter } from "../bench/one-core.ts";
import { SHARE_GOAL } from "../lab/aggregation.ts";
import { readPcapng } from "../lab/capture.ts";
import { IS_KERNEL_TESTED } from "../lab/engine-under-test.ts";
import { ADDRESS } from "../lab/hybrid.ts";
import type { Lab } from "../lab/lab.ts";
import { DSL_MEGABITS, goodput, nameOf, resetLines } from "../lab/path-grid.ts";
import { PathTrial, policyConfig, unratedConfig } from "../lab/path-trial.ts";
import { readSubflowPacket } from "../lab/subflow-packet.ts";
import { DIRECTIONS } from "../lab/transfer.ts";
import { until } from "../lab/until.ts";
import { linkRate } from "../lab/uplinks.ts";
import { PeerServer, visit } from "../lab/visit.ts";

/** Runs `work` while a router drops what matches. */
async function whileDropping(lab: Lab, router: string, matches: readonly string[], work: () => Promise<void>) {
  const rules = matches.map((match) => `    ${match} drop\n`).join("");
  const chain = `chain forward {\n    type filter hook forward priority 0\n${rules}  }`;
  await lab.run(router, ["nft", "-f", "-"], { input: `table inet dropping {\n  ${chain}\n}\n` });
  try {
    await work();
  } finally {
    await lab.run(router, ["nft", "delete", "table", "inet", "dropping"]);
  }
}

describe("subflow policies in the lab", function () {
  this.timeout(60_000);
  let trial: PathTrial;

  before(async () => {
    trial = await PathTrial.up("backup");
  });
  beforeEach(async () => {
    // What one test did to a line must not make it backup in the next.
    await trial.untilGood();
  });
  afterEach(() => {
    trial.abandonStreams();
  });
  after(async () => {
    await trial?.down();
  });

  for (const direction of DIRECTIONS) {
    it(`aggregate, ${direction}: one connection carries at least 0.92 of the sum of the link rates`, async () => {
      await trial.usePolicy("aggregate");
      expect(await trial.goodput(direction, 3)).to.be.at.least(SHARE_GOAL * linkRate("both", direction));
    });

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

  // Lines whose best alone is known: what fits into the rate. The whole grid: `npm run bench -- paths --only grid`.
  for (const cell of [
    { ratio: 1, roundTripMs: 200, loss: 0 },
    { ratio: 1, roundTripMs: 50, loss: 0.005 },
  ]) {
    it(`aggregate, ${nameOf(cell)}: more than either line alone could carry`, async () => {
      try {
        expect((await goodput(trial, "both", cell)) / 1e6).to.be.greaterThan(DSL_MEGABITS);
      } finally {
        await resetLines(trial);
      }
    });
  }

  for (const direction of DIRECTIONS) {
    it(`aggregate, ${direction}: a new subflow is backup, and carries nothing before that is taken back`, async () => {
      await trial.usePolicy("aggregate");
      await trial.untilGood();
      // What the test before has left in LTE's queue is no payload of this one.
      await trial.lteMeter.quiet();
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
    await trial.usePolicy("aggregate");
    const policies = ["single-path", "backup", "pairs", "ndiffports", "module", "overflow", "fullmesh", "aggregate"];
    expect(await trial.reloads(policies, 300)).to.deep.equal({ seen: policies, whole: true });
  });

  it("uplinks that come and go cost no byte", async () => {
    await trial.usePolicy("aggregate");
    const { whole, mostSubflows } = await trial.flaps(3, 1600);
    expect(whole).to.equal(true);
    expect(mostSubflows).to.be.within(2, 4);
  });

  it("ndiffports: two subflows over one uplink reach more than 1.5 times of one where flows are limited", async () => {
    const one = await trial.spread(1, 2);
    const two = await trial.spread(2, 2);
    expect(two).to.be.greaterThan(1.5 * one);
  });

  it("short connections get no second subflow before they have carried so much, or are so old", async () => {
    const joins = async (bytes: number) => {
      const stream = await trial.stream("download", 8 * bytes);
      const { syns } = await trial.lteMeter.during(() => sleep(1500));
      expect(await stream.finish()).to.equal(true);
      return syns;
    };
    await trial.usePolicy("aggregate", "subflows: { holdBytes: 300kB }\n");
    await trial.lteMeter.quiet();
    expect(await joins(100_000)).to.equal(0);
    expect(await joins(1_000_000)).to.equal(1);
    await trial.usePolicy("aggregate", "subflows: { holdBytes: 300kB, hold: 1s }\n");
    expect(await joins(10_000)).to.equal(1);
  });

  it("a subflow that a middlebox has forgotten is opened afresh while its uplink is good", async () => {
    await trial.usePolicy("aggregate");
    const { pair } = trial;
    const lte = async () =>
      (await trial.subflows()).find(({ uplink, state }) => uplink === "lte" && state === "ESTABLISHED")?.local;
    const events = async () =>
      ((await askDaemon(pair.file("hcpe/admin.sock"), "/events")) as { events: LoggedEvent[] }).events;
    const last = (await events()).at(-1)?.sequence ?? 0;
    const stream = await trial.stream("upload");
    try {
      const old = await until(lte, { what: "LTE carries it too", limitMs: 5000 });
      await sleep(1000);
      const [, port = ""] = /:(\d+)$/.exec(old) ?? [];
      await whileDropping(pair.lab, "rlte", [`tcp sport ${port}`, `tcp dport ${port}`], async () => {
        await until(async () => ((await lte()) ?? old) !== old, { what: "a fresh subflow", limitMs: 5000 });
        const since = (await events()).filter(({ sequence }) => sequence > last);
        expect(since.filter(({ event }) => event === "uplinkQuality")).to.deep.equal([]);
      });
      expect(await stream.finish()).to.equal(true);
    } finally {
      stream.abandon();
    }
  });

  it("the gateway resets a subflow on which what it sends stands still, and the home opens a fresh one", async () => {
    await trial.usePolicy("aggregate");
    const { pair } = trial;
    const lte = async () =>
      (await trial.subflows()).find(({ uplink, state }) => uplink === "lte" && state === "ESTABLISHED")?.local;
    const stream = await trial.stream("download");
    try {
      const old = await until(lte, { what: "LTE carries it too", limitMs: 5000 });
      await sleep(1000);
      const [, port = ""] = /:(\d+)$/.exec(old) ?? [];
      // A black hole for full segments, as a tunnel makes one: the path is alive, and its acknowledgements pass.
      const before = (await pair.status("hag")).subflowsReset;
      const full = `tcp dport ${port} meta length > 600`;
      await whileDropping(pair.lab, "rlte", [full], async () => {
        await until(async () => ((await lte()) ?? old) !== old, { what: "a fresh subflow", limitMs: 10_000 });
      });
      expect((await pair.status("hag")).subflowsReset).to.equal(before + 1);
      expect(await stream.finish()).to.equal(true);
    } finally {
      stream.abandon();
    }
  });

  it("the gateway resets the initial subflow of a home that has lost it, when it does not hear of that", async () => {
    await trial.usePolicy("aggregate");
    const { pair } = trial;
    const events = async () =>
      ((await askDaemon(pair.file("hcpe/admin.sock"), "/events")) as { events: LoggedEvent[] }).events;
    const last = (await events()).at(-1)?.sequence ?? 0;
    const isRemoved = async () => (await events()).some(({ sequence, event }) => sequence > last && event === "remove");
    const resets = async () => (await pair.status("hag")).subflowsReset;
    const before = await resets();
    const stream = await trial.stream("download");
    try {
      await until(async () => (await trial.subflows()).length === 2, { what: "two subflows", limitMs: 5000 });
      await sleep(1000);
      // REMOVE_ADDR leaves over what is left.
      await whileDropping(pair.lab, "rlte", ["ip saddr 10.1.2.2 meta l4proto tcp"], async () => {
        await trial.setDsl("link down", false);
        await until(isRemoved, { what: "the address is removed", limitMs: 5000 });
      });
      await until(async () => (await resets()) === before + 1, { what: "it is reset", limitMs: 10_000 });
      await trial.setDsl("link down", true);
      expect(await stream.finish()).to.equal(true);
    } finally {
      await trial.setDsl("link down", true);
      stream.abandon();
    }
  });

  it("SYNs of Multipath TCP that one uplink drops cost neither the other uplink nor later connections", async () => {
    await trial.usePolicy("aggregate");
    const { lab } = trial.pair;
    const server = new PeerServer(lab, "srv", 7200);
    const plain = async () => {
      const counters = await lab.run("hcpe", ["cat", "/proc/net/netstat"]);
      return ["MPCapableFallbackSYNACK", "Blackhole"].map((name) => protocolCounter(counters, "MPTcpExt", name));
    };
    const before = await plain();
    await whileDropping(lab, "rdsl", ["tcp option 30 exists"], async () => {
      for (let count = 0; count < 3; count++) {
        expect((await visit(lab, ADDRESS.server, 7200)).peer).to.equal("10.3.3.1");
      }
    });
    expect((await visit(lab, ADDRESS.server, 7200)).peer).to.equal("10.3.3.1");
    expect(await plain()).to.deep.equal(before);
    const blackhole = (await lab.run("hcpe", ["sysctl", "-n", "net.mptcp.blackhole_timeout"])).trim();
    if (IS_KERNEL_TESTED) expect(blackhole).to.equal("0");
    await server.close();
  });

  it("a schedule gives them a policy of its own while it is in force, and hcpe paths says so", async () => {
    const always = "schedules: [ { name: always, from: 00:00, to: 24:00 } ]";
    const rule = "rules: [ { during: always, policy: single-path } ]";
    await trial.usePolicy("aggregate", `${always}\n${rule}\n`);
    await trial.lteMeter.quiet();
    const stream = await trial.stream("download");
    const { packets } = await trial.lteMeter.during(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
    });
    expect(packets).to.equal(0);
    const { lab } = trial.pair;
    const paths = await lab.run(
      "hcpe",
      trial.pair.commandOf("hcpe", "paths", "--config", trial.pair.file("hcpe.yaml")),
    );
    expect(paths).to.match(/\nschedules in force: always\n$/);
    await trial.usePolicy("aggregate", `${always.replace("24:00", "00:00, days: []")}\n${rule}\n`);
    const { packets: later } = await trial.lteMeter.during(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
    });
    expect(later).to.be.greaterThan(100);
    expect(await stream.finish()).to.equal(true);
  });

  it("a rule gives connections to one port a policy of their own", async () => {
    await trial.usePolicy("aggregate", "rules: [ { ports: 7100, destinations: 10.3.3.0/24, policy: single-path } ]\n");
    await trial.lteMeter.quiet();
    const stream = await trial.stream("download");
    const { packets } = await trial.lteMeter.during(async () => {
      await sleep(1000);
    });
    expect(packets).to.equal(0);
    expect((await trial.connection())?.policy).to.equal("single-path");
    expect(await stream.finish()).to.equal(true);
  });

  it("what is wrong with a reload is told with its place, and what ran before stays", async () => {
    const daemon = trial.pair.daemon("hcpe");
    const module = trial.pair.file("policy.mjs");
    const load = async (text: string) => {
      writeFileSync(module, text);
      await trial.usePolicy("module", `policyModule: ${module}\n`);
    };
    await load(
      "export const policy = { wanted: ({ remote }, { uplinks }) => uplinks.slice(-1).map((local) => ({ local, remote, backup: false })) };",
    );
    await load("export const policy = {\n  wanted() { 1 2 },\n};");
    expect(daemon.log()).to.match(
      /policy\.mjs:2:16: Unexpected number; expected an ECMAScript module [^"]*","msg":"the policy module is refused"/,
    );
    const stream = await trial.stream("download");
    // The module's wish, which no other policy has: the dearest uplink alone.
    const onlyLte = async () => (await trial.subflows()).map(({ uplink }) => uplink).join() === "lte";
    await until(onlyLte, { what: "the module that was loaded first decides", limitMs: 5000 });
    trial.pair.writeConfig("hcpe", policyConfig("agregate"));
    daemon.process.kill("SIGHUP");
    const told = /hcpe\.yaml:\d+:9: policy: expected one of .*did you mean aggregate\?.*reload refused/;
    await until(() => told.test(daemon.log()), { what: "the reload is refused", limitMs: 5000 });
    expect(await onlyLte()).to.equal(true);
    expect(await stream.finish()).to.equal(true);
  });

  it("overflow, with LTE's quota used up: not a packet on LTE, though DSL is full", async () => {
    const quota = "cost: 10, quota: { bytes: 500kB, whenUsed: backup }";
    const more = `stateDirectory: ${trial.pair.file("state")}\n`;
    await trial.pair.daemon("hcpe").end("SIGTERM");
    const config = policyConfig("aggregate", `${more}log: { level: debug }\n`).replace("cost: 10", quota);
    const daemon = await trial.pair.start("hcpe", config);
    const isUsed = async () => {
      const { uplinks } = (await askDaemon(trial.pair.file("hcpe/admin.sock"), "/paths")) as {
        uplinks: readonly { readonly quota: QuotaStatus | null }[];
      };
      return uplinks.some((uplink) => uplink.quota?.used);
    };
    const first = await trial.stream("download");
    await until(isUsed, { what: "the quota is used up", limitMs: 10_000 });
    // At debug level the log says why, of every decision.
    expect(daemon.log()).to.match(
      /"gatewayReason":"the first","uplink":"dsl","uplinkReason":"preferred","msg":"attempt"/,
    );
    expect(daemon.log()).to.match(/"type":"createSubflow".*"reason":"policy","policy":"aggregate"/);
    await until(() => /"type":"setPriority".*"backup":true.*"reason":"quota"/.test(daemon.log()), {
      what: "LTE's subflow becomes backup",
      limitMs: 5000,
    });
    expect(await first.finish()).to.equal(true);
    // Uplinks, and with them the quota, stay what they were at the start.
    await trial.usePolicy("overflow", more);
    await trial.lteMeter.quiet();
    const stream = await trial.stream("download");
    await sleep(500);
    const before = stream.receivedBytes;
    const { packets } = await trial.lteMeter.during(() => sleep(3000));
    expect(packets).to.equal(0);
    expect(stream.receivedBytes - before, "DSL is full").to.be.greaterThan(0.8 * (linkRate("dsl", "download") / 8) * 3);
    expect(await stream.finish()).to.equal(true);
  });

  it("overflow, without a configured rate: the first full DSL teaches it", async () => {
    await trial.pair.daemon("hcpe").end("SIGTERM");
    const daemon = await trial.pair.start("hcpe", unratedConfig("overflow"));
    const { calm, share, leaveSeconds, whole } = await trial.overflow("download", 1500, 3000);
    expect(calm.payloadBytes).to.equal(0);
    expect(share).to.be.at.least(0.9);
    expect(leaveSeconds).to.be.at.most(5);
    expect(whole).to.equal(true);
    const [, rate] = /"uplink":"dsl","down":(\d+)[^}]*"uplink rate learnt"/.exec(daemon.log()) ?? [];
    expect(Number(rate)).to.be.within(16e6, 21e6);
  });
});
