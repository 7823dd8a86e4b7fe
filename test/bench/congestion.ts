/** Congestion control of the userspace transport, coupled and not, in the simulator: RFC 8041 section 3.2. No network. */
import { setImmediate } from "node:timers/promises";
import { CONGESTION_ALGORITHMS } from "@hybrid-access/core/policy/congestion/algorithms";
import type { CongestionAlgorithm } from "@hybrid-access/core/policy/congestion/congestion";
import {
  type Duration,
  disjointPaths,
  JITTERY_LINES,
  LOSSY_LINES,
  oscillation,
  releasedLine,
  SHALLOW_LINES,
  scenarioC,
  sharedBottleneck,
} from "../simulation/congestion/situations.ts";
import type { Benchmark, BenchmarkContext, Figure } from "./benchmark.ts";

const SEEDS = 3;
const DURATION: Duration = { settleMs: 10_000, measureMs: 30_000 };
const QUICK: Duration = { settleMs: 2000, measureMs: 2000 };
const COUPLED = ["lia", "olia", "balia"];

/** One number of a run. */
interface Measurement {
  /** The situation's name for `--only`, and where it has several numbers the same for each. */
  readonly part: string;
  readonly measured: string;
  readonly unit: string;
  run(algorithm: CongestionAlgorithm, seed: number, duration: Duration): number;
  goal?(algorithm: string): Figure["goal"];
}

const MEASUREMENTS: readonly Measurement[] = [
  {
    part: "shared",
    measured: "shared bottleneck: two subflows / one TCP",
    unit: "1",
    run: sharedBottleneck,
    goal: (name) => (COUPLED.includes(name) ? { atMost: 1.4 } : name === "wvegas" ? { atMost: 1 } : { atLeast: 1.6 }),
  },
  { part: "shared", measured: "the same: oscillation", unit: "1", run: oscillation },
  {
    part: "disjoint",
    measured: "disjoint paths: share of the sum",
    unit: "1",
    run: (algorithm, seed, duration) => disjointPaths(algorithm, seed, duration),
    goal: () => ({ atLeast: 0.85 }),
  },
  {
    part: "disjoint",
    measured: "disjoint paths, short queues: share of the sum",
    unit: "1",
    run: (algorithm, seed, duration) => disjointPaths(algorithm, seed, duration, SHALLOW_LINES),
  },
  {
    part: "disjoint",
    measured: "disjoint paths, 0.1 % loss: share of the sum",
    unit: "1",
    run: (algorithm, seed, duration) => disjointPaths(algorithm, seed, duration, LOSSY_LINES),
  },
  {
    part: "jitter",
    measured: "disjoint paths, 20 ms of jitter on one: share of the sum",
    unit: "1",
    run: (algorithm, seed, duration) => disjointPaths(algorithm, seed, duration, JITTERY_LINES),
    goal: (name) => (name === "wvegas" ? { atMost: 0.7 } : { atLeast: 0.85 }),
  },
  {
    part: "scenario-c",
    measured: "scenario C: plain TCP's share of its line",
    unit: "1",
    run: (algorithm, seed, duration) => scenarioC(algorithm, seed, duration).plain,
  },
  {
    part: "scenario-c",
    measured: "scenario C: what multipath users get, in lines",
    unit: "1",
    run: (algorithm, seed, duration) => scenarioC(algorithm, seed, duration).multipath,
  },
  {
    part: "released",
    measured: "four TCPs leave a line: until it is taken",
    unit: "s",
    run: (algorithm, seed) => releasedLine(algorithm, seed),
  },
];

export const congestionBenchmark: Benchmark = {
  summary: "congestion control of the userspace transport in the simulator: fairness and efficiency, six algorithms",
  parts: {
    only: Array.from(new Set(MEASUREMENTS.map(({ part }) => part))),
    variants: CONGESTION_ALGORITHMS.map(({ name }) => name),
  },
  run: measureAll,
};

async function measureAll({ selection, signal, say }: BenchmarkContext): Promise<Figure[]> {
  const figures: Figure[] = [];
  const algorithms = CONGESTION_ALGORITHMS.filter(({ name }) => selection.variant(name));
  const seeds = Array.from({ length: selection.runs ?? (selection.quick ? 1 : SEEDS) }, (_, index) => index + 1);
  for (const { part, measured, unit, run, goal } of MEASUREMENTS) {
    if (!selection.only(part)) continue;
    say(measured);
    for (const algorithm of algorithms) {
      // So that Control-C is heard.
      await setImmediate();
      signal.throwIfAborted();
      const runs = seeds.map((seed) => run(algorithm, seed, selection.quick ? QUICK : DURATION));
      const bound = goal?.(algorithm.name);
      const figure: Figure = { measured: `${algorithm.name}, ${measured}`, runs, unit, judged: "median" };
      figures.push(bound === undefined ? figure : { ...figure, goal: bound });
    }
  }
  return figures;
}
