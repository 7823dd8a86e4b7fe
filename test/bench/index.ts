/** Every benchmark, by name: one file and one line here each. */
import type { Benchmark } from "./benchmark.ts";
import { congestionBenchmark } from "./congestion.ts";
import { farmBenchmark } from "./farm.ts";
import { labBenchmark } from "./lab.ts";
import { memoryBenchmark } from "./memory.ts";
import { pairBenchmark } from "./pair.ts";
import { pathsBenchmark } from "./paths.ts";
import { relayBenchmark } from "./relay.ts";
import { schedulerBenchmark } from "./scheduler.ts";
import { userspaceBenchmark } from "./userspace.ts";

export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  lab: labBenchmark,
  farm: farmBenchmark,
  relay: relayBenchmark,
  pair: pairBenchmark,
  paths: pathsBenchmark,
  memory: memoryBenchmark,
  userspace: userspaceBenchmark,
  congestion: congestionBenchmark,
  scheduler: schedulerBenchmark,
};
