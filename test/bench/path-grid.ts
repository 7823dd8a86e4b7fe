/** One connection over two uplinks of many kinds, against what it reaches over the better one of them alone. */
import { setTimeout as sleep } from "node:timers/promises";
import { type AccessOptions, access, DEFAULT_ACCESS } from "../lab/hybrid.ts";
import { type PathTrial, unratedConfig } from "../lab/path-trial.ts";
import type { TransferLab } from "../lab/transfer.ts";
import { UPLINKS, type UplinkName, type UplinkSetting, useUplinks } from "../lab/uplinks.ts";
import type { BenchmarkContext, Figure } from "./benchmark.ts";

const DSL_MEGABITS = 6;
const DSL_ROUND_TRIP_MS = 20;
const RATIOS = [1, 3, 10];
const ROUND_TRIPS_MS = [10, 50, 200];
const LOSSES = [0, 0.005, 0.02];
const SECONDS = 4;
const SETTINGS: readonly UplinkSetting[] = ["dsl", "lte", "both"];

/** What the LTE line is like; the DSL line is always the same. */
interface Cell {
  readonly ratio: number;
  readonly roundTripMs: number;
  readonly loss: number;
}

const CELLS: readonly Cell[] = RATIOS.flatMap((ratio) =>
  ROUND_TRIPS_MS.flatMap((roundTripMs) => LOSSES.map((loss) => ({ ratio, roundTripMs, loss }))),
);

function lineOf({ ratio, roundTripMs, loss }: Cell): AccessOptions {
  const line = { ...access(ratio * DSL_MEGABITS, roundTripMs / 2), loss };
  return { down: line, up: line };
}

/**
 * Downloads in every cell, over each uplink alone and over both. What the HCPE has learnt of its uplinks in one cell is
 * not true in the next one: it is started anew for each.
 */
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
  for (const uplink of UPLINKS) await setLine(trial, uplink, DEFAULT_ACCESS[uplink]);
  return cells.map((cell, index) => {
    const of = (setting: UplinkSetting) => goodputs.get(setting)?.[setting === "dsl" ? 0 : index] ?? Number.NaN;
    const ratio = of("both") / Math.max(of("dsl"), of("lte"));
    return { measured: `aggregate / best uplink, ${nameOf(cell)}`, runs: [ratio], unit: "1", goal: { atLeast: 1 } };
  });
}

async function goodput(trial: PathTrial, setting: UplinkSetting, cell: Cell): Promise<number> {
  await setLine(trial, "dsl", lineOf({ ratio: 1, roundTripMs: DSL_ROUND_TRIP_MS, loss: 0 }));
  await setLine(trial, "lte", lineOf(cell));
  if (setting === "both") {
    await trial.pair.daemon("hcpe").end("SIGTERM");
    await trial.pair.start("hcpe", unratedConfig("aggregate"));
  }
  const reached = await trial.goodput("download", SECONDS);
  // What is still under way is of the cell before.
  await sleep(500);
  return reached;
}

async function setLine({ pair }: PathTrial, uplink: UplinkName, { down, up }: AccessOptions): Promise<void> {
  await pair.lab.configureLink(uplink, "forward", up);
  await pair.lab.configureLink(uplink, "backward", down);
}

function nameOf({ ratio, roundTripMs, loss }: Cell): string {
  return `LTE ${ratio} times DSL, ${roundTripMs} ms, ${100 * loss} % loss`;
}
