/** The demo: every family and direction over DSL alone, LTE alone, and both together. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Case, type Measurement, measure, SHARE_GOAL } from "../lab/aggregation.ts";
import { DEFAULT_ACCESS } from "../lab/hybrid.ts";
import { LinkMeter } from "../lab/link-meter.ts";
import { DIRECTIONS, FAMILIES, type TransferLab } from "../lab/transfer.ts";
import { linkRate, type UplinkSetting, useUplinks } from "../lab/uplinks.ts";
import type { Display } from "./display.ts";
import { type Row, renderDone, renderHeading, renderIntroduction, renderTable } from "./render.ts";

/** Both together is the figure that counts: it has the longest window. */
const SECONDS: Record<UplinkSetting, number> = { dsl: 10, lte: 10, both: 15 };
const SETTINGS: readonly UplinkSetting[] = ["dsl", "lte", "both"];

/** Runs all of it and gives the table's rows. The lab is up when `build` has resolved. */
export async function runDemo(
  build: () => Promise<TransferLab>,
  display: Display,
  signal: AbortSignal,
): Promise<readonly Row[]> {
  display.print(...renderIntroduction(DEFAULT_ACCESS, display.paint), "");
  const lab = await build();
  const measurements: Measurement[] = [];
  for (const uplinks of SETTINGS) {
    display.print(renderHeading(uplinks, display.paint));
    await useUplinks(lab, uplinks, signal);
    for (const family of FAMILIES) {
      for (const direction of DIRECTIONS) {
        measurements.push(await measureLive(lab, { uplinks, family, direction }, display, signal));
      }
    }
  }
  const rows = tableRows(measurements);
  display.print("", ...renderTable(rows, SHARE_GOAL, display.paint));
  return rows;
}

async function measureLive(
  lab: TransferLab,
  subject: Case,
  display: Display,
  signal: AbortSignal,
): Promise<Measurement> {
  const seconds = SECONDS[subject.uplinks];
  const over = new AbortController();
  const end = () => over.abort();
  const [measurement] = await Promise.all([
    measure(lab, subject, seconds, AbortSignal.any([signal, over.signal])).finally(end),
    showLive(lab, { ...subject, expectedSeconds: seconds }, display, over.signal).finally(end),
  ]);
  display.print(renderDone(subject, measurement.transfer));
  return measurement;
}

/** Shows what the uplinks carry until the signal. */
async function showLive(
  { pair }: TransferLab,
  subject: Case & { readonly expectedSeconds: number },
  display: Display,
  signal: AbortSignal,
): Promise<void> {
  const meter = new LinkMeter(pair.lab, subject.direction);
  const capacities = { dsl: linkRate("dsl", subject.direction), lte: linkRate("lte", subject.direction) };
  const startMs = performance.now();
  await meter.rates();
  while (!signal.aborted) {
    // An aborted sleep has done what it is for.
    await sleep(display.intervalMs, undefined, { signal }).catch(() => {});
    const rates = await meter.rates();
    if (signal.aborted) return;
    display.live({ ...subject, seconds: (performance.now() - startMs) / 1000, rates, capacities });
  }
}

function tableRows(measurements: readonly Measurement[]): Row[] {
  const goodput = (subject: Case) =>
    measurements.find(
      ({ uplinks, family, direction }) =>
        uplinks === subject.uplinks && family === subject.family && direction === subject.direction,
    )?.transfer.goodputBitsPerSecond ?? Number.NaN;
  return FAMILIES.flatMap((family) =>
    DIRECTIONS.map((direction) => ({
      family,
      direction,
      goodputs: {
        dsl: goodput({ uplinks: "dsl", family, direction }),
        lte: goodput({ uplinks: "lte", family, direction }),
        both: goodput({ uplinks: "both", family, direction }),
      },
      sumOfLinkRates: linkRate("both", direction),
    })),
  );
}
