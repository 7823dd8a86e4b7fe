/** What a benchmark is, and how its figures are told. */
import type { Session } from "../lab/session.ts";

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
}

/** What a benchmark gets. */
export interface BenchmarkContext extends Session {
  /** Tells what is being done; nobody reads it but people. */
  say(line: string): void;
}

export interface Benchmark {
  /** One line for the list of benchmarks. */
  readonly summary: string;
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
  /** Whether the worst run kept the goal. */
  readonly met: boolean | null;
}

/** Throws a RangeError for a figure without runs, or with one that is no number. */
export function rowOf({ measured, runs, unit, goal }: Figure): Row {
  if (runs.length === 0) throw new RangeError(`${measured}: no run`);
  if (!runs.every(Number.isFinite)) throw new RangeError(`${measured}: not measured`);
  const min = Math.min(...runs);
  const max = Math.max(...runs);
  const row = { measured, value: rounded(median(runs)), min: rounded(min), max: rounded(max), unit };
  if (goal === undefined) return { ...row, goal: null, met: null };
  return "atLeast" in goal
    ? { ...row, goal: `>= ${rounded(goal.atLeast)}`, met: min >= goal.atLeast }
    : { ...row, goal: `<= ${rounded(goal.atMost)}`, met: max <= goal.atMost };
}

/** The middle value; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Four significant digits, which is more than any of it is exact to. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

const COLUMNS: readonly (readonly [title: string, cell: (row: Row) => string])[] = [
  ["measured", ({ measured }) => measured],
  ["median", ({ value }) => String(value)],
  ["min", ({ min }) => String(min)],
  ["max", ({ max }) => String(max)],
  ["unit", ({ unit }) => unit],
  ["goal", ({ goal }) => goal ?? "-"],
  ["met", ({ met }) => (met === null ? "-" : met ? "yes" : "NO")],
];

/** The table for people, as Markdown, so that it can stand in a document as it is. */
export function renderRows(rows: readonly Row[]): string {
  const cells = [COLUMNS.map(([title]) => title), ...rows.map((row) => COLUMNS.map(([, cell]) => cell(row)))];
  const widths = COLUMNS.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  const lines = cells.map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return `${[lines[0], rule, ...lines.slice(1)].join("\n")}\n`;
}
