/** The options of `npm run bench`, and what they select. */
import type { ParseArgsConfig } from "node:util";
import type { Benchmark, Selection } from "./benchmark.ts";

export const OPTIONS = {
  json: { type: "boolean" },
  runs: { type: "string" },
  quick: { type: "boolean" },
  only: { type: "string" },
  variant: { type: "string" },
} as const satisfies ParseArgsConfig["options"];

/** What parseArgs makes of {@link OPTIONS}. */
export interface GivenOptions {
  readonly runs?: string;
  readonly quick?: boolean;
  readonly only?: string;
  readonly variant?: string;
}

const MAX_RUNS = 100;

/** Throws an Error, for people, when the benchmark does not know what was asked for. */
export function selectionOf(given: GivenOptions, { parts }: Pick<Benchmark, "parts">): Selection {
  const { runs, quick = false, only, variant } = given;
  if (parts === undefined && (runs !== undefined || quick || only !== undefined || variant !== undefined)) {
    throw new Error("this benchmark is always run as a whole");
  }
  return {
    runs: runs === undefined ? undefined : wholeNumber(runs),
    quick,
    only: chooser("--only", only, parts?.only ?? []),
    variant: chooser("--variant", variant, parts?.variants ?? []),
  };
}

function wholeNumber(text: string): number {
  const runs = Number(text);
  if (!Number.isInteger(runs) || runs < 1 || runs > MAX_RUNS) throw new Error(`--runs: 1 to ${MAX_RUNS}, not ${text}`);
  return runs;
}

function chooser(option: string, given: string | undefined, known: readonly string[]): (name: string) => boolean {
  if (given === undefined) return () => true;
  const chosen = given.split(",").map((name) => name.trim());
  const unknown = chosen.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`${option}: no ${unknown.join(", ")}; there is ${known.join(", ")}`);
  return (name) => chosen.includes(name);
}
