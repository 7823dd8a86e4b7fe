/** Subflow policies in the lab: what LTE carries while DSL works, how long failures stall, and when overflow acts. */
import { type Failure, type Overflow, PathTrial, policyConfig } from "../lab/path-trial.ts";
import { DIRECTIONS, type TransferDirection } from "../lab/transfer.ts";
import type { Benchmark, BenchmarkContext, Figure, Goal } from "./benchmark.ts";

const ROUNDS = 5;
const OVERFLOW_ROUNDS = 3;
const QUIET_MS = 2000;
const CALM_MS = 5000;
const FULL_MS = 10_000;
const RELOADED_POLICIES = ["aggregate", "single-path", "backup", "ndiffports", "overflow", "fullmesh"] as const;
const RELOADS = 10;
const FLAPS = 20;
const FLAP_MS = 3000;

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

export const pathsBenchmark: Benchmark = {
  summary: "subflow policies: silence of LTE, stalls when DSL fails, overflow, reloads, flapping uplinks",
  async run(context) {
    const lab = await context.build({ hcpe: policyConfig("backup") });
    const trial = await PathTrial.around(lab.pair);
    try {
      const figures: Figure[] = [];
      for (const direction of DIRECTIONS) {
        for (const failure of FAILURES) figures.push(...(await failures(trial, direction, failure, context)));
        figures.push(...(await overflow(trial, direction, context)));
      }
      return [...figures, await reloads(trial, context), await flaps(trial, context)];
    } finally {
      await trial.close();
    }
  },
};

async function failures(
  trial: PathTrial,
  direction: TransferDirection,
  { policy, failure, stallSeconds }: FailureCase,
  { say, signal }: BenchmarkContext,
): Promise<Figure[]> {
  await trial.usePolicy(policy);
  const idle: number[] = [];
  const stalls: number[] = [];
  const whole: number[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    signal.throwIfAborted();
    say(`${policy}, ${direction}, ${failure}, round ${round} of ${ROUNDS}`);
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

async function overflow(
  trial: PathTrial,
  direction: TransferDirection,
  { say, signal }: BenchmarkContext,
): Promise<Figure[]> {
  await trial.usePolicy("overflow");
  const results: Overflow[] = [];
  for (let round = 1; round <= OVERFLOW_ROUNDS; round++) {
    signal.throwIfAborted();
    say(`overflow, ${direction}, round ${round} of ${OVERFLOW_ROUNDS}`);
    results.push(await trial.overflow(direction, CALM_MS, FULL_MS));
  }
  return OVERFLOW_FIGURES.map(([what, unit, goal, of]) => ({
    measured: `overflow, ${direction}: ${what}`,
    runs: results.map(of),
    unit,
    goal,
  }));
}

async function reloads(trial: PathTrial, { say }: BenchmarkContext): Promise<Figure> {
  say(`${RELOADS} reloads in the middle of a stream`);
  const policies = Array.from({ length: RELOADS }, (_, index) => RELOADED_POLICIES[index % 6] ?? "aggregate");
  const whole = await trial.reloads(policies, 500);
  const measured = `${RELOADS} changes of policy during a stream: it is whole`;
  return { measured, runs: [Number(whole)], unit: "1", goal: { atLeast: 1 } };
}

async function flaps(trial: PathTrial, { say }: BenchmarkContext): Promise<Figure> {
  say(`${FLAPS} flaps of an uplink in ${(FLAPS * FLAP_MS) / 1000} s`);
  await trial.usePolicy("aggregate");
  const whole = await trial.flaps(FLAPS, FLAP_MS);
  const measured = `uplinks flap ${FLAPS} times in ${(FLAPS * FLAP_MS) / 1000} s: the stream is whole`;
  return { measured, runs: [Number(whole)], unit: "1", goal: { atLeast: 1 } };
}
