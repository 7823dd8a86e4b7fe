/** One connection over two uplinks of many kinds, against what it reaches over the better one of them alone. */
import { CELLS, goodput, nameOf, resetLines } from "../lab/path-grid.ts";
import type { PathTrial } from "../lab/path-trial.ts";
import type { TransferLab } from "../lab/transfer.ts";
import { type UplinkSetting, useUplinks } from "../lab/uplinks.ts";
import type { BenchmarkContext, Figure } from "./benchmark.ts";

const SETTINGS: readonly UplinkSetting[] = ["dsl", "lte", "both"];

/** Downloads in every cell, over each uplink alone and over both. */
export async function grid(
  trial: PathTrial,
  lab: TransferLab,
  { say, signal, selection }: BenchmarkContext,
): Promise<Figure[]> {
  const cells = selection.quick ? CELLS.slice(0, 1) : CELLS;
  const goodputs = new Map<UplinkSetting, number[]>();
  for (const setting of SETTINGS) {
    await useUplinks(lab, setting, signal);
    const reached: number[] = [];
    // The DSL line is the same in every cell.
    for (const cell of setting === "dsl" ? cells.slice(0, 1) : cells) {
      signal.throwIfAborted();
      reached.push(await goodput(trial, setting, cell));
      say(`${nameOf(cell)}, ${setting}: ${((reached.at(-1) ?? 0) / 1e6).toFixed(2)} Mbit/s`);
    }
    goodputs.set(setting, reached);
  }
  await resetLines(trial);
  return cells.map((cell, index) => {
    const of = (setting: UplinkSetting) => goodputs.get(setting)?.[setting === "dsl" ? 0 : index] ?? Number.NaN;
    const ratio = of("both") / Math.max(of("dsl"), of("lte"));
    return { measured: `aggregate / best uplink, ${nameOf(cell)}`, runs: [ratio], unit: "1", goal: { atLeast: 1 } };
  });
}
