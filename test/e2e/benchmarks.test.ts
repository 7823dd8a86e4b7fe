/** Benchmarks in their quickest form, without peers: that they run, and what they print. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import type { Row } from "../bench/benchmark.ts";

const MAIN = fileURLToPath(new URL("../bench/main.js", import.meta.url));
const LIMIT_MS = 60_000;

async function run(args: readonly string[]): Promise<Row[]> {
  const command = [MAIN, ...args, "--quick", "--json"];
  const { stdout } = await promisify(execFile)(process.execPath, command, { timeout: LIMIT_MS });
  return (JSON.parse(stdout) as { rows: Row[] }).rows;
}

function expectFigures(rows: readonly Row[], expected: readonly string[]): void {
  for (const row of rows) {
    expect(row, row.measured).to.have.all.keys("measured", "value", "min", "max", "unit", "goal", "met");
    expect([row.value, row.min, row.max].every(Number.isFinite), row.measured).to.equal(true);
  }
  expect(rows.map(({ measured }) => measured)).to.include.members([...expected]);
}

/** Each takes seconds and most of them little else: they run at the same time, in labs of their own. */
const TOGETHER = {
  oneHop: ["relay", "--variant", "relay,direct"],
  bothHops: ["pair", "--variant", "pair", "--only", "up1,short,ping"],
  memory: ["memory", "--variant", "relay"],
  idleMemory: ["userspace", "--only", "idle"],
  engines: ["userspace", "--only", "mptcp"],
  loss: ["userspace", "--only", "loss"],
  registry: ["farm", "--only", "registry"],
} as const;

describe("e2e: benchmarks", function () {
  this.timeout(LIMIT_MS);
  let results: Record<keyof typeof TOGETHER, Promise<Row[]>>;

  before(() => {
    const started = Object.entries(TOGETHER).map(([name, args]) => [name, run(args)] as const);
    // Whoever awaits one hears of its failure.
    for (const [, rows] of started) rows.catch(() => {});
    results = Object.fromEntries(started) as typeof results;
  });
  after(async () => void (await Promise.allSettled(Object.values(results ?? {}))));

  it("measures one hop beside the direct path", async () => {
    const rows = await results.oneHop;
    expectFigures(rows, [
      "4 connections up: throughput, relay",
      "4 connections down: CPU of the relay, relay",
      "1 connection up: throughput, relay / direct",
      "short connections: connections, direct",
      "round trip: p99, relay",
    ]);
    const rates = rows.filter(({ unit }) => unit === "Gbit/s");
    expect(rates.every(({ value }) => value > 0)).to.equal(true);
  });

  it("measures both hops", async () => {
    const rows = await results.bothHops;
    expectFigures(rows, [
      "1 connection up: throughput, pair",
      "1 connection up: throughput, pair, worst run / median",
      "short connections: connections, pair",
      "round trip: p50, pair",
    ]);
  });

  it("measures the memory of idle connections", async () => {
    const rows = await results.memory;
    expectFigures(rows, ["own memory of an idle connection, relay"]);
    expect(rows.find(({ goal }) => goal !== null)).to.deep.include({ goal: "<= 512", unit: "B" });
  });

  it("measures the memory of the userspace transport's idle connections", async () => {
    const rows = await results.idleMemory;
    expectFigures(rows, ["mptcp, opened: memory of an idle connection", "tcp, accepted: memory of an idle connection"]);
    const judged = rows.filter(({ goal }) => goal !== null);
    expect(judged.map(({ goal, unit }) => [goal, unit])).to.deep.equal(Array(2).fill(["<= 4000", "B"]));
  });

  it("measures the userspace engine beside the kernel's sockets", async () => {
    const rows = await results.engines;
    expectFigures(rows, ["mptcp up, userspace: throughput", "mptcp down, kernel: throughput"]);
    expect(rows.filter(({ unit }) => unit === "Gbit/s").every(({ value }) => value > 0)).to.equal(true);
  });

  it("measures the userspace engine beside Linux over a line that loses packets", async () => {
    const rows = await results.loss;
    expectFigures(rows, [
      "1 % loss, 40 ms, cubic of the userspace, userspace sending: goodput",
      "1 % loss, 40 ms, reno of the kernel, kernel receiving: goodput",
    ]);
    // The line's rate is 100 Mbit/s; what is written and does not arrive must not count.
    expect(rows.filter(({ unit }) => unit === "Mbit/s").every(({ value }) => value > 0 && value < 50)).to.equal(true);
    expect(rows.filter(({ goal }) => goal === ">= 0.9").length).to.equal(4);
  });

  it("measures 100,000 tokens in Redis: memory, rates, and that expiry leaves nothing behind", async () => {
    const rows = await results.registry;
    const value = (measured: string) => rows.find((row) => row.measured === `100000 ${measured}`)?.value;
    const bytes = value("tokens: memory of Redis for each");
    expect(bytes).to.be.within(50, 300);
    expect(value("connections, a token and 2 subflows: memory of Redis for each")).to.be.within(
      Number(bytes) + 50,
      900,
    );
    expect(value("tokens: published")).to.be.greaterThan(1000);
    expect(value("tokens: looked up, 20000 of them once")).to.be.greaterThan(1000);
    expect(value("tokens: keys left after expiry")).to.equal(0);
  });
});

describe("e2e: benchmark of a farm", function () {
  this.timeout(LIMIT_MS);

  it("measures joins through directors and without, what a director adds to them, and how many SYNs it decides", async () => {
    const rows = await run(["farm", "--only", "steering"]);
    expectFigures(rows, [
      "time a director adds to a join, owner cached, p99",
      "time a director adds to a join, owner from Redis, p99",
      "SYNs one director decides, most in a second",
      "a director's CPU time for a third ACK",
    ]);
    const value = (measured: string) => rows.find((row) => row.measured === measured)?.value;
    expect(value("100 connections with a second subflow: joins that reach their owner")).to.equal(1);
    expect(value("100 connections with a second subflow: joins reset")).to.equal(0);
    // The problem that a farm has without directors.
    expect(value("the same, plain per-flow balancer: joins that reach their owner")).to.be.below(0.8);
    expect(value("the same, plain per-flow balancer: joins reset")).to.be.greaterThan(10);
    // The goals are a quiet machine's; ten times as much is never the machine's doing alone.
    expect(value("time a director adds to a join, owner cached, p99")).to.be.below(20);
    expect(value("time a director adds to a join, owner from Redis, p99")).to.be.below(50);
    for (const what of ["SYNs", "mixed SYNs with all usual options"]) {
      expect(value(`${what} one director decides, most in a second`)).to.be.greaterThan(500);
    }
    expect(value("mixed SYNs: joins that go to their owner")).to.be.greaterThan(0.1);
  });
});
