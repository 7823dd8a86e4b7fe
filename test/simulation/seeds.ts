/** Runs a scenario with one seed after the other, and leaves what is needed to look at the first that fails. */
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError } from "@hybrid-access/core/base/error";
import type { Scenario, ScenarioRun } from "./scenario.ts";

export interface SeedRange {
  readonly first: number;
  readonly count: number;
}

/** What all runs had together. */
export interface SeedTotals {
  readonly seeds: number;
  readonly virtualMs: number;
  /** Packets that hosts have sent. */
  readonly packets: number;
  /** How many connections ended in which way. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** What the runs have counted, added up. */
  readonly counts: Readonly<Record<string, number>>;
  readonly wallMs: number;
}

/** A run that did not end as it must. The message has the seed, the paths, the command that repeats it and the capture. */
export class FailedSeed extends Error {
  readonly seed: number;

  constructor(seed: number, message: string) {
    super(message);
    this.name = "FailedSeed";
    this.seed = seed;
  }
}

/** Throws a FailedSeed for the first seed that fails. */
export function runSeeds(scenario: Scenario, { first, count }: SeedRange): SeedTotals {
  const startMs = performance.now();
  const totals = { seeds: 0, virtualMs: 0, packets: 0 };
  const outcomes: Record<string, number> = {};
  const sums: Record<string, number> = {};
  for (let seed = first; seed < first + count; seed++) {
    const { simulator, failure, outcomes: ended = [], counts = {} } = attempt(scenario, seed, false);
    if (failure !== undefined) throw reportOf(scenario, seed, failure);
    totals.seeds += 1;
    totals.virtualMs += simulator?.nowMs ?? 0;
    totals.packets += simulator?.counters.sentPackets ?? 0;
    for (const outcome of ended) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
  }
  return { ...totals, outcomes, counts: sums, wallMs: performance.now() - startMs };
}

type Attempt = Partial<ScenarioRun> & { readonly failure: string | undefined };

/** An exception is a failure like any other. */
function attempt(scenario: Scenario, seed: number, records: boolean): Attempt {
  try {
    return scenario.run(seed, records);
  } catch (error) {
    return { failure: error instanceof Error ? (error.stack ?? error.message) : describeError(error) };
  }
}

/** Repeats the run, recorded this time: the others need no memory for it. */
function reportOf(scenario: Scenario, seed: number, failure: string): FailedSeed {
  const again = attempt(scenario, seed, true);
  const command = `npm run simulate -- --scenario ${scenario.name} --first ${seed} --seeds 1`;
  const lines = [`${scenario.name}, seed ${seed}: ${failure}`, `repeat it: ${command}`];
  if (again.failure !== failure) lines.push(`repeated at once it ended otherwise: ${again.failure ?? "well"}`);
  const file = again.simulator?.recorder?.file(`${command}\n${failure}`);
  if (file !== undefined) {
    const path = join(tmpdir(), `hybrid-access-${scenario.name}-${seed}.pcapng`);
    writeFileSync(path, file);
    lines.push(`capture: ${path}`);
  }
  return new FailedSeed(seed, [...lines, again.describePaths?.() ?? ""].join("\n"));
}
