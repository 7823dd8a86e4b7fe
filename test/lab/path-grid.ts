/** Lines of many kinds for the lab's uplinks, and what one connection reaches over them. */
import { setTimeout as sleep } from "node:timers/promises";
import { type AccessOptions, access, DEFAULT_ACCESS } from "./hybrid.ts";
import { type PathTrial, unratedConfig } from "./path-trial.ts";
import { UPLINKS, type UplinkName, type UplinkSetting } from "./uplinks.ts";

export const DSL_MEGABITS = 6;
const DSL_ROUND_TRIP_MS = 20;
const RATIOS = [1, 3, 10];
const ROUND_TRIPS_MS = [10, 50, 200];
const LOSSES = [0, 0.005, 0.02];
const SECONDS = 4;

/** What the LTE line is like; the DSL line is always the same. */
export interface Cell {
  /** Its rate, in rates of the DSL line. */
  readonly ratio: number;
  readonly roundTripMs: number;
  /** The share of packets. */
  readonly loss: number;
}

export const CELLS: readonly Cell[] = RATIOS.flatMap((ratio) =>
  ROUND_TRIPS_MS.flatMap((roundTripMs) => LOSSES.map((loss) => ({ ratio, roundTripMs, loss }))),
);

function lineOf({ ratio, roundTripMs, loss }: Cell): AccessOptions {
  const line = { ...access(ratio * DSL_MEGABITS, roundTripMs / 2), loss };
  return { down: line, up: line };
}

/**
 * Payload in bits per second of a download in this cell, over uplinks that are plugged in already. What the HCPE has
 * learnt of its uplinks in another cell is not true in this one: it is started anew where both carry.
 */
export async function goodput(trial: PathTrial, setting: UplinkSetting, cell: Cell): Promise<number> {
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

/** The lab's usual lines again. */
export async function resetLines(trial: PathTrial): Promise<void> {
  for (const uplink of UPLINKS) await setLine(trial, uplink, DEFAULT_ACCESS[uplink]);
}

async function setLine({ pair }: PathTrial, uplink: UplinkName, { down, up }: AccessOptions): Promise<void> {
  await pair.lab.configureLink(uplink, "forward", up);
  await pair.lab.configureLink(uplink, "backward", down);
}

export function nameOf({ ratio, roundTripMs, loss }: Cell): string {
  return `LTE ${ratio} times DSL, ${roundTripMs} ms, ${100 * loss} % loss`;
}
