/**
 * Schedulers of the userspace transport over paths of several classes, and what it does where a slow path holds the window
 * up or has old data, switched on and off. All in virtual time: the same run is the same figures.
 */
import { SCHEDULERS } from "@hybrid-access/core/policy/scheduler/schedulers";
import type { LinkOptions } from "@hybrid-access/core/testing/link";
import { Transfer, type TransferPlan } from "../simulation/transfer.ts";
import type { Benchmark, BenchmarkContext, Figure } from "./benchmark.ts";
import { percentile } from "./statistics.ts";

const SEEDS = 5;
const BULK_BYTES = 10_000_000;
/** For 10 s. */
const STREAM_BYTES = 10_000_000;
const STREAM_BITS_PER_SECOND = 8e6;
const QUICK_SHARE = 0.1;
const LIMIT_MS = 300_000;
/** What the daemons have. */
const BUFFER_BYTES = 4 * 1024 * 1024;

/** Rates in Mbit/s; the queue holds 40 ms. */
function link(rate: number, delayMs: number, loss = 0): LinkOptions {
  return { rateBitsPerSecond: rate * 1e6, delayMs, queueBytes: rate * 5000, ...(loss > 0 && { loss }) };
}

const PATH_CLASSES: Readonly<Record<string, readonly LinkOptions[]>> = {
  "equal paths, 20 Mbit/s and 40 ms": [link(20, 20), link(20, 20)],
  "round trips of 20 and 200 ms, 20 Mbit/s": [link(20, 10), link(20, 100)],
  "rates of 40 and 5 Mbit/s, 30 ms": [link(40, 15), link(5, 15)],
  "second path loses 2 %, 20 Mbit/s and 40 ms": [link(20, 20), link(20, 20, 0.02)],
};

/** Raiciu et al., NSDI 2012, figure 4: WiFi with 80 ms of queue, 3G with 2 s of it. */
export const WIFI_AND_3G: readonly LinkOptions[] = [
  { rateBitsPerSecond: 8e6, delayMs: 10, queueBytes: 80_000 },
  { rateBitsPerSecond: 2e6, delayMs: 75, queueBytes: 500_000 },
];

const BUFFERS_KILOBYTES = [50, 100, 200, 400, 800, 1600];

const HEURISTICS = {
  neither: { opportunisticRetransmission: false, penalization: false },
  reinjection: { opportunisticRetransmission: true, penalization: false },
  penalization: { opportunisticRetransmission: false, penalization: true },
  both: { opportunisticRetransmission: true, penalization: true },
} as const;

/** INFOCOM14: two equal paths, of which the second one loses packets from 2 s on for some time. */
const TWO_PATHS: readonly LinkOptions[] = [0, 1].map(() => ({
  rateBitsPerSecond: 10e6,
  delayMs: 20,
  queueBytes: 100_000,
}));
const LOSSY_FROM_MS = 2000;
const AFTERWARDS_MS = 3000;

export interface LossyTime {
  readonly loss: number;
  readonly forMs: number;
}

const LOSSY_TIMES: readonly LossyTime[] = [0.3, 0.5, 0.8, 1].flatMap((loss) =>
  [3000, 8000].map((forMs) => ({ loss, forMs })),
);

export const schedulerBenchmark: Benchmark = {
  summary:
    "the userspace transport's schedulers by class of paths, small windows, subflows with old data; virtual time (3 min)",
  parts: { only: ["classes", "window", "recycling"], variants: SCHEDULERS.map(({ name }) => name) },
  run: (context) => {
    const { selection } = context;
    const classes = selection.only("classes")
      ? Object.keys(PATH_CLASSES).flatMap((name) => ofClass(name, context))
      : [];
    const window = selection.only("window") ? BUFFERS_KILOBYTES.flatMap((size) => ofWindow(size, context)) : [];
    const recycling = selection.only("recycling") ? LOSSY_TIMES.flatMap((lossy) => ofLossyTime(lossy, context)) : [];
    return Promise.resolve([...classes, ...window, ...recycling]);
  },
};

function seeds({ selection }: BenchmarkContext): number[] {
  return Array.from({ length: selection.runs ?? (selection.quick ? 1 : SEEDS) }, (_, index) => index + 1);
}

function shareOf(bytes: number, { selection }: BenchmarkContext): number {
  return selection.quick ? bytes * QUICK_SHARE : bytes;
}

function ofClass(name: string, context: BenchmarkContext): Figure[] {
  return SCHEDULERS.filter((scheduler) => context.selection.variant(scheduler.name)).flatMap((scheduler) => {
    context.say(`${name}: ${scheduler.name}`);
    const settings = { scheduler };
    const plan = { paths: PATH_CLASSES[name] ?? [], settings, sendBufferBytes: BUFFER_BYTES, limitMs: LIMIT_MS };
    const each = (part: Pick<TransferPlan, "bytes" | "writtenBitsPerSecond">) =>
      seeds(context).map((seed) => new Transfer({ ...plan, ...part, receiveBufferBytes: BUFFER_BYTES, seed }).run());
    const bulk = each({ bytes: shareOf(BULK_BYTES, context) });
    const stream = each({ bytes: shareOf(STREAM_BYTES, context), writtenBitsPerSecond: STREAM_BITS_PER_SECOND });
    const delays = (share: number) =>
      stream.map(({ blockDelaysMs }) =>
        percentile(
          blockDelaysMs.toSorted((left, right) => left - right),
          share,
        ),
      );
    return [
      {
        measured: `${name}, ${scheduler.name}: goodput`,
        runs: bulk.map(({ goodputBitsPerSecond }) => goodputBitsPerSecond / 1e6),
        unit: "Mbit/s",
      },
      { measured: `${name}, ${scheduler.name}: block delay, median`, runs: delays(0.5), unit: "ms" },
      { measured: `${name}, ${scheduler.name}: block delay, 95 %`, runs: delays(0.95), unit: "ms" },
    ];
  });
}

/** Beside the better path alone. */
function ofWindow(kilobytes: number, context: BenchmarkContext): Figure[] {
  context.say(`window of ${kilobytes} kB`);
  const bufferBytes = 1000 * kilobytes;
  const bytes = shareOf(BULK_BYTES, context);
  const plan = { sendBufferBytes: 2 * bufferBytes, receiveBufferBytes: bufferBytes, bytes, limitMs: LIMIT_MS };
  const each = (part: Pick<TransferPlan, "paths" | "settings" | "incident">) =>
    seeds(context).map((seed) => new Transfer({ ...plan, ...part, seed }).run());
  const goodputs = (part: Pick<TransferPlan, "paths" | "settings">) =>
    each(part).map(({ goodputBitsPerSecond }) => goodputBitsPerSecond / 1e6);
  const name = `window of ${kilobytes} kB`;
  const alone = { measured: `${name}, WiFi alone`, runs: goodputs({ paths: WIFI_AND_3G.slice(0, 1) }) };
  const together = Object.entries(HEURISTICS).map(([heuristics, settings]) => {
    return { measured: `${name}, ${heuristics}`, runs: goodputs({ paths: WIFI_AND_3G, settings }) };
  });
  const stalls = Object.entries(HEURISTICS).map(([heuristics, settings]) => {
    const runs = each({ paths: WIFI_AND_3G, settings, incident: loseSecondPath });
    return {
      measured: `${name}, ${heuristics}: longest stall, 3G lost after 2 s`,
      runs: runs.map(({ longestStallMs }) => longestStallMs),
      unit: "ms",
    };
  });
  return [...[alone, ...together].map((figure) => ({ ...figure, unit: "Mbit/s" })), ...stalls];
}

/** While the transfer goes on. */
export function loseSecondPath(transfer: Transfer): void {
  transfer.simulator.at(2000, () => transfer.changePath(1, { loss: 1 }));
}

/** A transfer until some time after the path is good again: what it has carried, and what the second path did afterwards. */
export function lossyTransfer({ loss, forMs }: LossyTime, recycling: boolean, seed: number) {
  const goodAgainMs = LOSSY_FROM_MS + forMs;
  let beforeBytes = 0;
  const transfer = new Transfer({
    seed,
    paths: TWO_PATHS,
    settings: { recycling },
    sendBufferBytes: 2_000_000,
    receiveBufferBytes: 1_000_000,
    bytes: Number.MAX_SAFE_INTEGER,
    limitMs: goodAgainMs + AFTERWARDS_MS,
    incident: (made) => {
      made.simulator.at(LOSSY_FROM_MS, () => made.changePath(1, { loss }));
      made.simulator.at(goodAgainMs, () => {
        made.changePath(1, {});
        beforeBytes = made.deliveredBytes(1);
      });
    },
  });
  const { goodputBitsPerSecond, recycled } = transfer.run();
  const afterwardsBitsPerSecond = (8000 * (transfer.deliveredBytes(1) - beforeBytes)) / AFTERWARDS_MS;
  return { goodputBitsPerSecond, afterwardsBitsPerSecond, recycled };
}

function ofLossyTime(lossy: LossyTime, context: BenchmarkContext): Figure[] {
  const name = `second path loses ${100 * lossy.loss} % for ${lossy.forMs / 1000} s`;
  context.say(name);
  return [false, true].flatMap((recycling) => {
    const runs = seeds(context).map((seed) => lossyTransfer(lossy, recycling, seed));
    const measured = `${name}, ${recycling ? "recycled" : "kept"}`;
    return [
      {
        measured: `${measured}: goodput`,
        runs: runs.map(({ goodputBitsPerSecond }) => goodputBitsPerSecond / 1e6),
        unit: "Mbit/s",
      },
      {
        measured: `${measured}: second path, 3 s afterwards`,
        runs: runs.map(({ afterwardsBitsPerSecond }) => afterwardsBitsPerSecond / 1e6),
        unit: "Mbit/s",
      },
    ];
  });
}
