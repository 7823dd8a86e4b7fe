/** Every benchmark, by name: one file and one line here each. */
import type { Benchmark } from "./benchmark.ts";
import { farmBenchmark } from "./farm.ts";
import { labBenchmark } from "./lab.ts";

export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  lab: labBenchmark,
  farm: farmBenchmark,
};
