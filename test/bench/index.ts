/** Every benchmark, by name: one file and one line here each. */
import type { Benchmark } from "./benchmark.ts";
import { labBenchmark } from "./lab.ts";
import { pathsBenchmark } from "./paths.ts";

export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  lab: labBenchmark,
  paths: pathsBenchmark,
};
