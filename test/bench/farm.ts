/** A farm in the lab: joins that reach their owner, what steering costs, and what happens when parts of it go. */
import { setTimeout as sleep } from "node:timers/promises";
import { FARM_PORT, FarmLab, type FarmOptions, VIRTUAL } from "../lab/farm.ts";
import { ownBy } from "../lab/farm-owners.ts";
import { FarmTraffic, sumOf } from "../lab/farm-traffic.ts";
import { processorSecondsOf } from "../lab/process-figures.ts";
import { joinOption, RawPackets, TCP_FLAG } from "../lab/raw-packets.ts";
import { until } from "../lab/until.ts";
import type { Benchmark, BenchmarkContext, Figure, Goal } from "./benchmark.ts";
import { type Running, synRate } from "./farm-syn-rate.ts";
import { PacketClock } from "./packet-clock.ts";
import { registryFigures } from "./registry.ts";

const DIRECTORS = ["dir1", "dir2"];
const CONVERTERS = ["conv1", "conv2", "conv3"];
const LAB: FarmOptions = {
  homes: 2,
  gateways: [
    ...DIRECTORS.map((name) => ({ name, role: "director" }) as const),
    ...CONVERTERS.map((name) => ({ name, role: "converter" }) as const),
  ],
};
const HOMES = [1, 2];
const CONNECTIONS = 1000;
const NONE: Goal = { atMost: 0 };
const ALL: Goal = { atLeast: 1 };

export const farmBenchmark: Benchmark = {
  summary: "a farm: joins that reach their owner, steering's cost, failures of every part, a million tokens",
  parts: { only: ["steering", "announce", "failures", "cluster", "registry"], variants: [] },
  async run(context) {
    const { say, selection } = context;
    const figures: Figure[] = [];
    if (selection.only("steering")) {
      figures.push(
        ...(await inFarm(context, LAB, (running) =>
          inTurn(running, [joins, latency, (running) => synRate(running, DIRECTORS)]),
        )),
      );
    }
    if (selection.only("announce")) figures.push(...(await announcing(context)));
    if (selection.only("failures")) {
      const failures = [churn, killedConverter, withoutRedis, slowRedis];
      figures.push(...(await inFarm(context, LAB, (running) => inTurn(running, failures))));
    }
    if (selection.only("cluster")) {
      figures.push(...(await inFarm(context, { ...LAB, redis: "cluster" }, killedMaster)));
    }
    if (selection.only("registry")) figures.push(...(await registryFigures(say, shortened(context))));
    return figures;
  },
};

type Part = (running: Running) => Promise<Figure[]>;

async function inTurn(running: Running, parts: readonly Part[]): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const part of parts) figures.push(...(await part(running)));
  return figures;
}

/** Which part of everything is measured: all, or a tenth to see that it works. */
function shortened({ selection }: BenchmarkContext): number {
  return selection.quick ? 0.1 : 1;
}

async function inFarm(context: BenchmarkContext, options: FarmOptions, measure: Part): Promise<Figure[]> {
  const farm = await FarmLab.up(options, [...DIRECTORS, ...CONVERTERS]);
  const traffic = new FarmTraffic(farm);
  try {
    return await measure({ farm, traffic, context });
  } finally {
    await traffic.close();
    await farm.down();
  }
}

const HCPES = HOMES.map((home) => `hcpe${home}`);

/** Joins that the homes' kernels asked for and got, and that a converter reset as it did not know the token. */
function joinCounts(farm: FarmLab, before = { asked: 0, made: 0, resets: 0 }) {
  return {
    asked: sumOf(farm, HCPES, "MPJoinSynTx") - before.asked,
    made: sumOf(farm, HCPES, "MPJoinSynAckRx") - before.made,
    resets: sumOf(farm, CONVERTERS, "MPJoinNoTokenFound") - before.resets,
  };
}

/** The same connections through the directors, and through a router that knows only flows. */
async function joins({ farm, traffic, context }: Running): Promise<Figure[]> {
  const count = CONNECTIONS * shortened(context);
  context.say(`${count} connections through two directors`);
  for (const home of HOMES) await traffic.connectWithJoins(home, count / HOMES.length);
  const steered = joinCounts(farm);
  await traffic.closeAll();
  context.say(`${count} connections through a plain per-flow balancer`);
  await farm.route(CONVERTERS);
  const before = joinCounts(farm);
  for (const home of HOMES) for (let made = 0; made < count / HOMES.length; made++) await traffic.connect(home);
  const plain = joinCounts(farm, before);
  await traffic.closeAll();
  await farm.route(DIRECTORS);
  const what = `${count} connections with a second subflow`;
  const other = "the same, plain per-flow balancer";
  return [
    { measured: `${what}: joins that reach their owner`, runs: [steered.made / steered.asked], unit: "1", goal: ALL },
    { measured: `${what}: joins reset`, runs: [steered.resets], unit: "joins", goal: NONE },
    { measured: `${other}: joins that reach their owner`, runs: [plain.made / plain.asked], unit: "1" },
    { measured: `${other}: joins reset`, runs: [plain.resets], unit: "joins" },
  ];
}

const TIMED_SYNS = 400;
const TIMED_ROUNDS = 5;
const PATIENCE_MS = 200;

/** What a director adds to a join: where its owner is known from, and what the slowest hundredth may take. */
const TIMED = [
  { name: "owner cached", goalMs: 2 },
  { name: "owner from Redis", goalMs: 5 },
] as const;

/** SYNs made by hand, one after the other: when the director's host got each one, and when it left. */
async function latency({ farm, context: { say, selection } }: Running): Promise<Figure[]> {
  const packets = new RawPackets(farm.lab, "core", [], VIRTUAL.ipv4, FARM_PORT);
  const clock = new PacketClock(farm.lab, "dir1");
  const times = TIMED.map(() => ({ middle: [] as number[], slowest: [] as number[] }));
  const rounds = selection.quick ? 1 : TIMED_ROUNDS;
  try {
    const tokens = Array.from({ length: rounds * TIMED_SYNS }, (_, index) => 0x4000_0000 + index);
    await ownBy(farm, "conv1", [...tokens, 1]);
    await farm.route(["dir1"]);
    await timeJoin(packets, clock, 1, 1);
    for (let round = 0; round < rounds; round++) {
      say(`${TIMED_SYNS} joins each, cached and from Redis: round ${round + 1} of ${rounds}`);
      const cached = await timeAll(packets, clock, () => 1);
      const looked = await timeAll(packets, clock, (index) => tokens[round * TIMED_SYNS + index] ?? 0);
      [cached, looked].forEach((measured, index) => {
        times[index]?.middle.push(quantile(measured, 0.5));
        times[index]?.slowest.push(quantile(measured, 0.99));
      });
    }
  } finally {
    packets.close();
    clock.close();
    await farm.route(DIRECTORS);
  }
  return TIMED.flatMap(({ name, goalMs }, index): Figure[] => {
    const { middle = [], slowest = [] } = times[index] ?? {};
    const measured = `time a director adds to a join, ${name}`;
    return [
      { measured: `${measured}, p50`, runs: middle, unit: "ms" },
      { measured: `${measured}, p99`, runs: slowest, unit: "ms", goal: { atMost: goalMs } },
    ];
  });
}

async function timeAll(packets: RawPackets, clock: PacketClock, tokenOf: (index: number) => number): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < TIMED_SYNS; index++) {
    times.push(await timeJoin(packets, clock, 1024 + index, tokenOf(index)));
  }
  return times;
}

/** Milliseconds that a join took from one end of the director's host to the other; one that is lost, all its time. */
async function timeJoin(packets: RawPackets, clock: PacketClock, sourcePort: number, token: number): Promise<number> {
  clock.read(new Map());
  packets.send({ sourcePort, flags: TCP_FLAG.syn, options: joinOption(token) });
  const endMs = performance.now() + PATIENCE_MS;
  const passages: Parameters<PacketClock["read"]>[0] = new Map();
  while (performance.now() < endMs) {
    await sleep(1);
    clock.read(passages);
    const { inMs, outMs } = passages.get(sourcePort) ?? {};
    if (inMs !== undefined && outMs !== undefined) return outMs - inMs;
  }
  return PATIENCE_MS;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

const MODES = [
  { steering: "steer", name: "steered by a director" },
  { steering: "announce", name: "to announced addresses" },
] as const;
const COMPARED_CONNECTIONS = 300;

/** The same HCPE and the same converters, with a director before them and without. */
async function announcing(context: BenchmarkContext): Promise<Figure[]> {
  const figures: Figure[] = [];
  const count = COMPARED_CONNECTIONS * shortened(context);
  for (const { steering, name } of MODES) {
    context.say(`${count} connections, joins ${name}`);
    const farm = await FarmLab.up({ ...LAB, steering }, steering === "steer" ? ["dir1", ...CONVERTERS] : CONVERTERS);
    const traffic = new FarmTraffic(farm);
    try {
      const before = { joins: joinCounts(farm), cpuSeconds: directorSeconds(farm, steering) };
      await traffic.connectWithJoins(1, count);
      const { asked, made } = joinCounts(farm, before.joins);
      const cpuSeconds = directorSeconds(farm, steering) - before.cpuSeconds;
      const times = joinTimes(farm.daemon("hcpe1").log());
      const what = `joins ${name}`;
      figures.push(
        { measured: `${what}: share that reaches the owner`, runs: [made / asked], unit: "1", goal: ALL },
        {
          measured: `${what}: from the connection to the second subflow, p50`,
          runs: [quantile(times, 0.5)],
          unit: "ms",
        },
        {
          measured: `${what}: from the connection to the second subflow, p99`,
          runs: [quantile(times, 0.99)],
          unit: "ms",
        },
        { measured: `${what}: a director's CPU time for a connection`, runs: [(1e6 * cpuSeconds) / count], unit: "us" },
      );
    } finally {
      await traffic.close();
      await farm.down();
    }
  }
  return figures;
}

function directorSeconds(farm: FarmLab, steering: "steer" | "announce"): number {
  return steering === "steer" ? processorSecondsOf(farm.daemon("dir1").process.pid ?? 0) : 0;
}

/** From the HCPE's log: for each connection, milliseconds from its establishment to that of its first further subflow. */
function joinTimes(log: string): number[] {
  const established = new Map<number, number>();
  const times: number[] = [];
  for (const line of log.split("\n")) {
    if (!line.includes('"msg":"path event"')) continue;
    const { time, event } = JSON.parse(line) as { time: number; event: { type: string; token: number } };
    if (event.type === "connectionEstablished") established.set(event.token, time);
    const startMs = established.get(event.token);
    if (event.type !== "subflowEstablished" || startMs === undefined) continue;
    times.push(time - startMs);
    established.delete(event.token);
  }
  return times;
}

const CHURN_CONNECTIONS = 30;

/** Parts of the farm go and come in the middle of transfers. */
async function churn({ farm, traffic, context: { say } }: Running): Promise<Figure[]> {
  const events: readonly (readonly [string, () => Promise<unknown>])[] = [
    [
      "director killed",
      async () => {
        await farm.daemon("dir1").end("SIGKILL");
        await farm.route(["dir2"]);
      },
    ],
    [
      "director added",
      async () => {
        await farm.start("dir1");
        await farm.route(DIRECTORS);
      },
    ],
    ["converter drained", () => farm.run("conv3", "drain")],
    ["converter added", () => farm.start("conv3")],
  ];
  const figures: Figure[] = [];
  for (const [name, event] of events) {
    say(`${name}, with ${CHURN_CONNECTIONS} transfers`);
    const connections = [
      ...(await traffic.connectWithJoins(1, CHURN_CONNECTIONS / 2)),
      ...(await traffic.connectWithJoins(2, CHURN_CONNECTIONS / 2)),
    ];
    const runs = [await traffic.lostAcross(connections, event)];
    figures.push({
      measured: `${name} in mid-transfer: connections lost or changed`,
      runs,
      unit: "connections",
      goal: NONE,
    });
    await traffic.closeAll();
    if (name === "converter drained") await farm.daemon("conv3").end("SIGCONT");
  }
  return figures;
}

const AFTER_KILL = 20;

async function killedConverter({ farm, traffic, context: { say } }: Running): Promise<Figure[]> {
  say("converter killed");
  const connections = await traffic.connectWithJoins(1, CHURN_CONNECTIONS);
  const own = (await farm.farmStatus("conv2")).published?.tokens ?? 0;
  for (const { client } of connections) client.resume();
  await farm.daemon("conv2").end("SIGKILL");
  const seconds: number[] = [];
  for (let count = 0; count < AFTER_KILL; count++) {
    const startMs = performance.now();
    await traffic.connect(1);
    seconds.push((performance.now() - startMs) / 1000);
  }
  const left = () => connections.filter(({ client }) => !client.closed);
  await until(() => left().length <= connections.length - own, { what: "its connections end", limitMs: 10_000 });
  const others = own - (connections.length - left().length) + (await traffic.lostAcross(left(), async () => {}));
  await farm.start("conv2");
  await traffic.closeAll();
  return [
    {
      measured: "converter killed: connections of others lost",
      runs: [Math.abs(others)],
      unit: "connections",
      goal: NONE,
    },
    {
      measured: "converter killed: the slowest new connection after it",
      runs: [Math.max(...seconds)],
      unit: "s",
      goal: { atMost: 1 },
    },
  ];
}

const OUTAGE_SECONDS = 30;
const SLOW_SECONDS = 15;
const BETWEEN_MS = 100;

/** Opens connections for a time and gives how many there were, the share that worked, and that of their joins. */
async function newConnections({ farm, traffic }: Running, seconds: number) {
  const before = joinCounts(farm);
  const endMs = performance.now() + 1000 * seconds;
  let asked = 0;
  let made = 0;
  while (performance.now() < endMs) {
    asked += 1;
    const limit = sleep(5000).then(() => undefined);
    if ((await Promise.race([traffic.connect(1), limit])) !== undefined) made += 1;
    await sleep(BETWEEN_MS);
  }
  const counts = joinCounts(farm, before);
  return { share: made / asked, joins: Math.min(1, counts.made / made) };
}

async function outage(
  running: Running,
  name: string,
  fullSeconds: number,
  begin: () => Promise<unknown>,
): Promise<Figure[]> {
  const { farm, traffic, context } = running;
  const seconds = fullSeconds * shortened(context);
  context.say(`${name}, ${seconds} s`);
  const connections = await traffic.connectWithJoins(1, CHURN_CONNECTIONS);
  const before = await decisions(farm);
  let result = { share: Number.NaN, joins: Number.NaN };
  const lost = await traffic.lostAcross(connections, async () => {
    await begin();
    result = await newConnections(running, seconds);
  });
  const after = await decisions(farm);
  const why = Object.entries(after).map(([decision, count]) => [decision, count - (before[decision] ?? 0)] as const);
  context.say(`  joins and unknown flows at the directors: ${JSON.stringify(Object.fromEntries(why))}`);
  await traffic.closeAll();
  return [
    { measured: `${name}: established connections lost or changed`, runs: [lost], unit: "connections", goal: NONE },
    { measured: `${name}: new connections that work`, runs: [result.share], unit: "1", goal: ALL },
    { measured: `${name}: their joins that work meanwhile`, runs: [result.joins], unit: "1" },
    ...why
      .filter(([, count]) => count > 0)
      .map(([decision, count]): Figure => {
        return { measured: `${name}: decided: ${DECISIONS[decision]}`, runs: [count], unit: "SYNs" };
      }),
  ];
}

/** What directors go by, and why they drop (SteeringCounters). */
const DECISIONS: Readonly<Record<string, string>> = {
  fromCache: "owner cached",
  fromRegistry: "owner from Redis",
  fromPath: "owner seen on the path",
  fromMemory: "owner that Redis said before",
  unknown: "dropped, nobody owns the token",
  unanswered: "dropped, Redis did not answer and this director had not seen the third ACK",
  overLimit: "dropped, too many look-ups",
  ownerGone: "dropped, the owner is no node",
};

async function decisions(farm: FarmLab): Promise<Record<string, number>> {
  const all = await Promise.all(DIRECTORS.map(async (name) => (await farm.farmStatus(name)).director));
  const sum = (decision: string) => all.reduce((total, one) => total + Number(one?.[decision] ?? 0), 0);
  return Object.fromEntries(Object.keys(DECISIONS).map((decision) => [decision, sum(decision)]));
}

async function withoutRedis(running: Running): Promise<Figure[]> {
  const { farm } = running;
  const figures = await outage(running, "Redis killed", OUTAGE_SECONDS, async () => farm.redis.signal(0, "SIGKILL"));
  await farm.startRedis();
  const connected = async () => (await farm.farmStatus("conv1")).registry.connected;
  await until(connected, { what: "Redis is back", limitMs: 10_000 });
  return figures;
}

const PAUSE_MS = 2000;

/** Redis keeps every answer back for up to two seconds. */
async function slowRedis(running: Running): Promise<Figure[]> {
  const { farm } = running;
  const stop = new AbortController();
  const pausing = async () => {
    while (!stop.signal.aborted) await farm.redis.command(0, "client", "pause", String(PAUSE_MS), "all");
  };
  let pauses = Promise.resolve();
  const figures = await outage(running, "Redis answers after 2 s", SLOW_SECONDS, async () => {
    pauses = pausing();
  });
  stop.abort();
  await pauses;
  return figures;
}

async function killedMaster(running: Running): Promise<Figure[]> {
  const { farm } = running;
  return await outage(running, "Redis Cluster master killed", SLOW_SECONDS, async () =>
    farm.redis.signal(0, "SIGKILL"),
  );
}
