/** Every benchmark, by name: one file and one line here each. */
import type { Benchmark } from "./benchmark.ts";
import { labBenchmark } from "./lab.ts";
import { memoryBenchmark } from "./memory.ts";
import { pairBenchmark } from "./pair.ts";
import { pathsBenchmark } from "./paths.ts";
import { relayBenchmark } from "./relay.ts";

export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  lab: labBenchmark,
  relay: relayBenchmark,
  pair: pairBenchmark,
  paths: pathsBenchmark,
  memory: memoryBenchmark,
};
