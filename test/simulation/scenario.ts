/** What a simulation runs: hosts and paths made from a seed, and a judgement at the end. */
import type { Simulator } from "@hybrid-access/core/testing/simulator/simulator";

/** One run, over or failed. */
export interface ScenarioRun {
  readonly simulator: Simulator;
  /** The paths as text, for people. */
  describePaths(): string;
  /** How each connection ended, from the side that opened it; by this one sees what a run is worth. */
  readonly outcomes: readonly string[];
  /** What else was counted, by name. */
  readonly counts?: Readonly<Record<string, number>>;
  /** What was wrong; undefined when all was as it must be. */
  readonly failure: string | undefined;
}

export interface Scenario {
  /** As `--scenario` names it. */
  readonly name: string;
  /** The same seed is the same run, whether it is recorded or not. */
  run(seed: number, records: boolean): ScenarioRun;
}
