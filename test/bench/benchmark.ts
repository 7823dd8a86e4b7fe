/** What a benchmark is, and how its figures are told. */
import type { Session } from "../lab/session.ts";
import { median } from "./statistics.ts";

/** A bound that a figure must keep. */
export type Goal = { readonly atLeast: number } | { readonly atMost: number };

/** One figure of a benchmark, from several runs. */
export interface Figure {
  /** What was measured, and over what. */
  readonly measured: string;
  /** One number for each run. */
  readonly runs: readonly number[];
  readonly unit: string;
  readonly goal?: Goal;
  /** Which run must keep the goal; the worst one if not told. Of a comparison with others it is the median. */
  readonly judged?: "worst" | "median";
  /** Short of the goal, but from here on the difference is within the noise of the method: a tie. */
  readonly tie?: number;
}

/** What of a benchmark to run. */
export interface Selection {
  /** Rounds; the benchmark's own number if undefined. */
  readonly runs: number | undefined;
  /** Only to see that it works: one round, and each as short as can be. */
  readonly quick: boolean;
  /** Whether to measure this. */
  only(name: string): boolean;
  /** Whether to measure it with this. */
  variant(name: string): boolean;
}

/** What a benchmark gets. */
export interface BenchmarkContext extends Session {
  readonly selection: Selection;
  /** Tells what is being done; nobody reads it but people. */
  say(line: string): void;
}

export interface Benchmark {
  /** One line for the list of benchmarks. */
  readonly summary: string;
  /** What `--only` and `--variant` may name. A benchmark without it is always run as a whole. */
  readonly parts?: { readonly only: readonly string[]; readonly variants: readonly string[] };
  run(context: BenchmarkContext): Promise<readonly Figure[]>;
}

/** A row of a benchmark's table, and of its JSON. */
export interface Row {
  readonly measured: string;
  /** The median of the runs. */
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  /** Such as ">= 0.92". */
  readonly goal: string | null;
  /** Whether the run that is judged kept the goal. */
  readonly met: boolean | null;
}

/** Throws a RangeError for a figure without runs, or with one that is no number. */
export function rowOf({ measured, runs, unit, goal, judged = "worst", tie }: Figure): Row {
  if (runs.length === 0) throw new RangeError(`${measured}: no run`);
  if (!runs.every(Number.isFinite)) throw new RangeError(`${measured}: not measured`);
  const min = Math.min(...runs);
  const max = Math.max(...runs);
  const middle = median(runs);
  const row = { measured, value: rounded(middle), min: rounded(min), max: rounded(max), unit };
  if (goal === undefined) return { ...row, goal: null, met: null };
  const tied = tie === undefined ? "" : ` (tie from ${tie})`;
  return "atLeast" in goal
    ? {
        ...row,
        goal: `>= ${rounded(goal.atLeast)}${tied}`,
        met: (judged === "worst" ? min : middle) >= goal.atLeast,
      }
    : { ...row, goal: `<= ${rounded(goal.atMost)}${tied}`, met: (judged === "worst" ? max : middle) <= goal.atMost };
}

/** The verdict for people. What misses its goal by less than the noise is called a tie. */
function verdict({ goal, tie }: Figure, { value, met }: Row): string {
  if (goal === undefined) return "-";
  if (met === true) return "yes";
  if (tie === undefined) return "NO";
  return ("atLeast" in goal ? value >= tie : value <= tie) ? "tie" : "NO";
}

/** Four significant digits, which is more than any of it is exact to. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

const COLUMNS: readonly (readonly [title: string, cell: (row: Row, figure: Figure) => string])[] = [
  ["measured", ({ measured }) => measured],
  ["median", ({ value }) => String(value)],
  ["min", ({ min }) => String(min)],
  ["max", ({ max }) => String(max)],
  ["unit", ({ unit }) => unit],
  ["goal", ({ goal }) => goal ?? "-"],
  ["met", (row, figure) => verdict(figure, row)],
];

/** The table for people, as Markdown, so that it can stand in a document as it is. */
export function renderFigures(figures: readonly Figure[]): string {
  const cells = [
    COLUMNS.map(([title]) => title),
    ...figures.map((figure) => COLUMNS.map(([, cell]) => cell(rowOf(figure), figure))),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  const lines = cells.map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return `${[lines[0], rule, ...lines.slice(1)].join("\n")}\n`;
}
