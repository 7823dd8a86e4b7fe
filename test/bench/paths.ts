/** Subflow policies in the lab: what they add up to, what LTE carries while DSL works, what failures cost. */
import { measure, SHARE_GOAL } from "../lab/aggregation.ts";
import { ADDRESS } from "../lab/hybrid.ts";
import { type Failure, type Overflow, PathTrial, policyConfig } from "../lab/path-trial.ts";
import { DIRECTIONS, type TransferDirection, type TransferLab } from "../lab/transfer.ts";
import { until } from "../lab/until.ts";
import { PeerServer, visit } from "../lab/visit.ts";
import type { Benchmark, BenchmarkContext, Figure, Goal } from "./benchmark.ts";
import { grid } from "./path-grid.ts";

const ROUNDS = 5;
const FEW_ROUNDS = 3;
const SHARE_SECONDS = 20;
const QUIET_MS = 2000;
const CALM_MS = 5000;
const FULL_MS = 10_000;
/** Every policy, and each another one than before: the first comes after `aggregate`. */
const RELOADS = [
  "single-path",
  "backup",
  "pairs",
  "ndiffports",
  "overflow",
  "module",
  "fullmesh",
  "aggregate",
  "single-path",
  "pairs",
] as const;
const FLAPS = 20;
const FLAP_MS = 3000;
/** Two uplinks: one subflow over each, and one that is being opened or closed in its place. */
const MOST_SUBFLOWS = 4;
const VISIT_PORT = 7200;
const FOLLOWING_VISITS = 5;
const RETURN_LIMIT_MS = 15_000;

/** What a failure of DSL may cost under a policy. */
interface FailureCase {
  readonly policy: string;
  readonly failure: Failure;
  /** Undefined: measured without a goal. */
  readonly stallSeconds?: number;
}

const FAILURES: readonly FailureCase[] = [
  { policy: "backup", failure: "link down", stallSeconds: 0.3 },
  { policy: "backup", failure: "silence", stallSeconds: 1.5 },
  { policy: "single-path", failure: "link down", stallSeconds: 1 },
  { policy: "aggregate", failure: "link down" },
  { policy: "aggregate", failure: "silence" },
];

type Part = (trial: PathTrial, lab: TransferLab, context: BenchmarkContext) => Promise<readonly Figure[]>;

const PARTS: Readonly<Record<string, Part>> = {
  share: shares,
  failures: bothWays((trial, direction, context) =>
    inTurn(FAILURES, (failure) => failures(trial, direction, failure, context)),
  ),
  overflow: bothWays(overflow),
  "first-byte": firstByte,
  reloads,
  flaps,
  ndiffports,
  grid,
};

export const pathsBenchmark: Benchmark = {
  summary: "subflow policies: share, failures, overflow, first bytes, reloads, flapping uplinks, a grid of lines",
  parts: { only: Object.keys(PARTS), variants: [] },
  async run(context) {
    const lab = await context.build({ hcpe: policyConfig("aggregate") });
    const trial = await PathTrial.around(lab.pair);
    try {
      const chosen = Object.entries(PARTS).filter(([name]) => context.selection.only(name));
      return await inTurn(chosen, ([, part]) => part(trial, lab, context));
    } finally {
      await trial.close();
    }
  },
};

function bothWays(
  part: (trial: PathTrial, direction: TransferDirection, context: BenchmarkContext) => Promise<readonly Figure[]>,
): Part {
  return (trial, _lab, context) => inTurn(DIRECTIONS, (direction) => part(trial, direction, context));
}

async function inTurn<Item>(
  items: readonly Item[],
  run: (item: Item) => Promise<readonly Figure[]>,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const item of items) figures.push(...(await run(item)));
  return figures;
}

function roundsOf({ selection }: BenchmarkContext, usual: number): number {
  return selection.quick ? 1 : (selection.runs ?? usual);
}

/** One connection over both uplinks. */
async function shares(trial: PathTrial, lab: TransferLab, context: BenchmarkContext): Promise<Figure[]> {
  await trial.usePolicy("aggregate");
  const rounds = roundsOf(context, FEW_ROUNDS);
  return await inTurn(DIRECTIONS, async (direction) => {
    const runs: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      context.say(`aggregate, ${direction}, round ${round} of ${rounds}`);
      const subject = { family: "IPv4", uplinks: "both", direction } as const;
      runs.push((await measure(lab, subject, context.selection.quick ? 3 : SHARE_SECONDS, context.signal)).share);
    }
    const measured = `aggregate, ${direction}: share of the sum of the link rates`;
    return [{ measured, runs, unit: "1", goal: { atLeast: SHARE_GOAL } }];
  });
}

async function failures(
  trial: PathTrial,
  direction: TransferDirection,
  { policy, failure, stallSeconds }: FailureCase,
  context: BenchmarkContext,
): Promise<Figure[]> {
  const rounds = roundsOf(context, ROUNDS);
  await trial.usePolicy(policy);
  const idle: number[] = [];
  const stalls: number[] = [];
  const whole: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    context.signal.throwIfAborted();
    context.say(`${policy}, ${direction}, ${failure}, round ${round} of ${rounds}`);
    const result = await trial.failover(direction, failure, QUIET_MS);
    idle.push(policy === "single-path" ? result.lte.packets : result.lte.payloadBytes);
    stalls.push(result.stallSeconds);
    whole.push(Number(result.whole));
  }
  const what = `${policy}, ${direction}`;
  const stall = { measured: `${what}: stall, DSL ${failure}`, runs: stalls, unit: "s" };
  const silence = {
    measured: `${what}: on LTE while DSL works`,
    runs: idle,
    unit: policy === "single-path" ? "packets" : "bytes",
    goal: { atMost: 0 },
  };
  return [
    ...(policy === "aggregate" ? [] : [silence]),
    stallSeconds === undefined ? stall : { ...stall, goal: { atMost: stallSeconds } },
    { measured: `${what}, DSL ${failure}: streams whole`, runs: whole, unit: "1", goal: { atLeast: 1 } },
  ];
}

const OVERFLOW_FIGURES: readonly (readonly [string, string, Goal, (result: Overflow) => number])[] = [
  ["payload on LTE at 60 % of DSL", "bytes", { atMost: 0 }, ({ calm }) => calm.payloadBytes],
  ["from a full DSL to LTE in use", "s", { atMost: 1 }, ({ joinSeconds }) => joinSeconds],
  ["share of the sum of the link rates", "1", { atLeast: 0.9 }, ({ share }) => share],
  ["from a load that fits to LTE left", "s", { atMost: 5 }, ({ leaveSeconds }) => leaveSeconds],
  ["streams whole", "1", { atLeast: 1 }, ({ whole }) => Number(whole)],
];

async function overflow(trial: PathTrial, direction: TransferDirection, context: BenchmarkContext): Promise<Figure[]> {
  const rounds = roundsOf(context, FEW_ROUNDS);
  await trial.usePolicy("overflow");
  const results: Overflow[] = [];
  for (let round = 1; round <= rounds; round++) {
    context.signal.throwIfAborted();
    context.say(`overflow, ${direction}, round ${round} of ${rounds}`);
    results.push(await trial.overflow(direction, CALM_MS, FULL_MS));
  }
  return OVERFLOW_FIGURES.map(([what, unit, goal, of]) => ({
    measured: `overflow, ${direction}: ${what}`,
    runs: results.map(of),
    unit,
    goal,
  }));
}

/** The preferred uplink drops everything without a word: how long new connections take. */
async function firstByte(trial: PathTrial, { pair }: TransferLab, context: BenchmarkContext): Promise<Figure[]> {
  const server = new PeerServer(pair.lab, "srv", VISIT_PORT);
  const first: number[] = [];
  const following: number[] = [];
  const rounds = roundsOf(context, ROUNDS);
  const seconds = async () => (await visit(pair.lab, ADDRESS.server, VISIT_PORT)).firstByteMs / 1000;
  try {
    for (let round = 1; round <= rounds; round++) {
      context.say(`first byte while DSL is silent, round ${round} of ${rounds}`);
      await trial.setDsl("silence", false);
      first.push(await seconds());
      for (let count = 0; count < FOLLOWING_VISITS; count++) following.push(await seconds());
      await trial.setDsl("silence", true);
      await until(async () => (await pair.status("hcpe")).uplinks.every(({ silent }) => silent.length === 0), {
        what: "DSL passes again",
        limitMs: RETURN_LIMIT_MS,
        signal: context.signal,
      });
    }
  } finally {
    await server.close();
  }
  const measured = "DSL silent: first byte of a new connection";
  return [
    { measured: `${measured}, the first`, runs: first, unit: "s", goal: { atMost: 1.5 } },
    { measured: `${measured}, following ones`, runs: following, unit: "s", goal: { atMost: 0.2 } },
  ];
}

async function reloads(trial: PathTrial, _lab: TransferLab, { say }: BenchmarkContext): Promise<Figure[]> {
  say(`${RELOADS.length} reloads in the middle of a stream`);
  await trial.usePolicy("aggregate");
  const { seen, whole } = await trial.reloads(RELOADS, 500);
  const changes = RELOADS.filter((policy, index) => seen[index] === policy).length;
  const what = `${RELOADS.length} changes of policy: the stream`;
  return [
    { measured: `${what} is under the new one`, runs: [changes], unit: "1", goal: { atLeast: RELOADS.length } },
    { measured: `${what} is whole`, runs: [Number(whole)], unit: "1", goal: { atLeast: 1 } },
  ];
}

async function flaps(trial: PathTrial, _lab: TransferLab, { say, selection }: BenchmarkContext): Promise<Figure[]> {
  const count = selection.quick ? 2 : FLAPS;
  const what = `each uplink flaps ${count} times in ${(count * FLAP_MS) / 1000} s`;
  say(what);
  await trial.usePolicy("aggregate");
  const { whole, mostSubflows } = await trial.flaps(count, FLAP_MS);
  return [
    { measured: `${what}: the stream is whole`, runs: [Number(whole)], unit: "1", goal: { atLeast: 1 } },
    { measured: `${what}: subflows at once`, runs: [mostSubflows], unit: "1", goal: { atMost: MOST_SUBFLOWS } },
  ];
}

/** Over a network that limits each flow, as parallel links do. */
async function ndiffports(trial: PathTrial, _lab: TransferLab, context: BenchmarkContext): Promise<Figure[]> {
  const rounds = roundsOf(context, FEW_ROUNDS);
  const runs: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    context.say(`ndiffports, round ${round} of ${rounds}`);
    const one = await trial.spread(1, 3);
    runs.push((await trial.spread(2, 3)) / one);
  }
  const measured = "ndiffports, download, flows limited: two subflows / one";
  return [{ measured, runs, unit: "1", goal: { atLeast: 1.5 } }];
}
