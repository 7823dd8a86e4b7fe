/**
 * The same loads through several variants, in interleaved rounds: what disturbs the host for a while disturbs all of
 * them. Absolute figures are told; judged are ratios to the best of the others in the same run.
 */
import type { BenchmarkContext, Figure, Goal } from "./benchmark.ts";
import type { Load } from "./load/load.ts";
import type { LoadRequest, LoadResult } from "./load/protocol.ts";
import { watchingOthers } from "./neighbours.ts";
import type { OneCore } from "./one-core.ts";
import { type Better, bestOf, ratios } from "./statistics.ts";

/** What loads are carried through. */
export interface Variant {
  readonly name: string;
  /** "limit": without any relay; nobody is measured by it. */
  readonly kind: "ours" | "peer" | "limit";
  /** Where the client connects to. */
  readonly address: string;
  /** Its processes' group in the CPU's meter. */
  readonly group?: string;
}

/** One run, as the metrics see it. */
export interface Sample extends LoadResult {
  readonly relayCpuSeconds: number;
  readonly loadCpuSeconds: number;
}

interface Metric {
  readonly title: string;
  readonly unit: string;
  readonly better: Better;
  /** Told for these kinds of variants only. */
  readonly of: readonly Variant["kind"][];
  value(sample: Sample): number;
}

const RELAYS = ["ours", "peer"] as const;
const ALL = ["ours", "peer", "limit"] as const;

export const METRICS = {
  rate: {
    title: "throughput",
    unit: "Gbit/s",
    better: "more",
    of: ALL,
    value: ({ bytes, seconds }) => (bytes * 8) / seconds / 1e9,
  },
  core: {
    title: "throughput for each second of CPU",
    unit: "Gbit/CPU s",
    better: "more",
    of: ALL,
    value: ({ bytes, relayCpuSeconds, loadCpuSeconds }) => (bytes * 8) / 1e9 / (relayCpuSeconds + loadCpuSeconds),
  },
  cpu: {
    title: "CPU of the relay",
    unit: "s/GB",
    better: "less",
    of: RELAYS,
    value: ({ bytes, relayCpuSeconds }) => relayCpuSeconds / (bytes / 1e9),
  },
  perSecond: {
    title: "connections",
    unit: "1/s",
    better: "more",
    of: ALL,
    value: ({ count, seconds }) => count / seconds,
  },
  perCore: {
    title: "connections for each second of CPU",
    unit: "1/CPU s",
    better: "more",
    of: ALL,
    value: ({ count, relayCpuSeconds, loadCpuSeconds }) => count / (relayCpuSeconds + loadCpuSeconds),
  },
  p50: { title: "p50", unit: "us", better: "less", of: ALL, value: ({ p50Us }) => p50Us },
  p99: { title: "p99", unit: "us", better: "less", of: ALL, value: ({ p99Us }) => p99Us },
  load: {
    title: "load generator's share of the core",
    unit: "1",
    better: "less",
    of: ["ours"],
    value: ({ loadCpuSeconds, seconds }) => loadCpuSeconds / seconds,
  },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof METRICS;

interface Measure {
  readonly title: string;
  readonly metrics: readonly MetricName[];
  readonly seconds: number;
  request(address: string, seconds: number): LoadRequest;
}

function bulk(load: "up" | "down", connections: number): Measure {
  return {
    title: `${connections} ${connections === 1 ? "connection" : "connections"} ${load}`,
    metrics: ["rate", "core", "cpu", "load"],
    seconds: 2,
    request: (address, seconds) => ({ load, address, connections, seconds }),
  };
}

const SHORT_AT_ONCE = 32;

export const MEASURES = {
  up4: bulk("up", 4),
  down4: bulk("down", 4),
  up1: bulk("up", 1),
  down1: bulk("down", 1),
  short: {
    title: "short connections",
    metrics: ["perSecond", "perCore", "load"],
    seconds: 2,
    request: (address, seconds) => ({ load: "short", address, connections: SHORT_AT_ONCE, seconds }),
  },
  ping: {
    title: "round trip",
    metrics: ["p50", "p99"],
    seconds: 1,
    request: (address, seconds) => ({ load: "ping", address, seconds }),
  },
} as const satisfies Record<string, Measure>;

export type MeasureName = keyof typeof MEASURES;

export const MEASURE_NAMES = Object.keys(MEASURES) as MeasureName[];

/** What ours must reach, as a ratio to the best peer; to the best of those in `against`, if that is told. */
export interface RatioGoal {
  readonly against?: readonly string[];
  readonly measure: MeasureName;
  readonly metric: MetricName;
  readonly goal: Goal;
  readonly tie?: number;
}

const ROUNDS = 5;
const WARM_UP_SECONDS = 0.5;
const QUICK_SECONDS = 0.2;

/** The runs of each variant, by measure and metric. */
export type Runs = Map<MeasureName, Map<MetricName, Map<string, number[]>>>;

/** What came out of a comparison. */
export interface Comparison {
  readonly runs: Runs;
  /** How busy the host's other CPUs were in each run: what disturbed it. */
  readonly neighbours: readonly number[];
}

/** Carries every chosen load through every variant, round by round. */
export async function compare(
  host: OneCore,
  load: Load,
  variants: readonly Variant[],
  { selection, say, signal }: BenchmarkContext,
): Promise<Comparison> {
  const measures = MEASURE_NAMES.filter((name) => selection.only(name));
  const rounds = selection.runs ?? (selection.quick ? 1 : ROUNDS);
  const runs: Runs = new Map();
  const neighbours: number[] = [];
  if (!selection.quick) await warmUp(host, load, variants, measures);
  for (let round = 0; round < rounds; round++) {
    for (const name of measures) {
      const { request, seconds, metrics, title } = MEASURES[name];
      for (const variant of rotated(variants, round)) {
        signal.throwIfAborted();
        const carried = request(variant.address, selection.quick ? QUICK_SECONDS : seconds);
        const [taken, others] = await watchingOthers(host.core, () => sample(host, load, variant, carried));
        neighbours.push(others);
        const told = metrics.filter((metric) => (METRICS[metric] as Metric).of.includes(variant.kind));
        for (const metric of told) add(runs, name, metric, variant.name, METRICS[metric].value(taken));
        const figures = told.map((metric) => `${METRICS[metric].value(taken).toPrecision(4)} ${METRICS[metric].unit}`);
        figures.push(`${percent(busy(taken))} of the core, other CPUs ${percent(others)} busy`);
        say(`round ${round + 1} of ${rounds}, ${title}, ${variant.name}: ${figures.join(", ")}`);
      }
    }
  }
  return { runs, neighbours };
}

/** Every process has done everything once before it counts. */
async function warmUp(host: OneCore, load: Load, variants: readonly Variant[], measures: readonly MeasureName[]) {
  for (const variant of variants) {
    for (const name of measures) {
      await sample(host, load, variant, MEASURES[name].request(variant.address, WARM_UP_SECONDS));
    }
  }
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** What relay and load generator used. Much less than 1: the connections stood still, or somebody else had the core. */
function busy({ relayCpuSeconds, loadCpuSeconds, seconds }: Sample): number {
  return (relayCpuSeconds + loadCpuSeconds) / seconds;
}

/** Nobody is always the first of a round. */
function rotated<Item>(items: readonly Item[], by: number): Item[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

async function sample(host: OneCore, load: Load, { group }: Variant, request: LoadRequest): Promise<Sample> {
  const relayCpu = () => (group === undefined ? 0 : host.cpu.seconds(group));
  const relayBefore = relayCpu();
  const loadBefore = host.cpu.seconds("load");
  const result = await load.run(request);
  return {
    ...result,
    relayCpuSeconds: relayCpu() - relayBefore,
    loadCpuSeconds: host.cpu.seconds("load") - loadBefore,
  };
}

function add(runs: Runs, measure: MeasureName, metric: MetricName, variant: string, value: number): void {
  const byMetric = runs.get(measure) ?? new Map<MetricName, Map<string, number[]>>();
  const byVariant = byMetric.get(metric) ?? new Map<string, number[]>();
  byVariant.set(variant, [...(byVariant.get(variant) ?? []), value]);
  byMetric.set(metric, byVariant);
  runs.set(measure, byMetric);
}

/** Every variant's absolute figures, and after those of each metric the ratios of ours: to the best peer, to the limit. */
export function comparisonFigures(
  { runs, neighbours }: Comparison,
  variants: readonly Variant[],
  goals: readonly RatioGoal[],
): Figure[] {
  const named = (kind: Variant["kind"]) => variants.filter((variant) => variant.kind === kind).map(({ name }) => name);
  const [ours] = named("ours");
  const [limit] = named("limit");
  const figures: Figure[] = [];
  for (const [measure, byMetric] of runs) {
    for (const [metric, byVariant] of byMetric) {
      const what = `${MEASURES[measure].title}: ${METRICS[metric].title}`;
      for (const [variant, values] of byVariant) {
        figures.push({ measured: `${what}, ${variant}`, runs: values, unit: METRICS[metric].unit });
      }
      const given = goals.find((candidate) => candidate.measure === measure && candidate.metric === metric);
      const peers = named("peer").filter((name) => given?.against === undefined || given.against.includes(name));
      const best = bestOf(new Map([...byVariant].filter(([name]) => peers.includes(name))), METRICS[metric].better);
      for (const other of [best, limit]) {
        const ratio = ratioFigure(what, byVariant, ours, other);
        if (ratio !== undefined)
          figures.push(other === best && given !== undefined ? { ...ratio, ...judged(given) } : ratio);
      }
    }
  }
  return [...figures, { measured: "how busy the host's other CPUs were meanwhile", runs: neighbours, unit: "1" }];
}

function judged({ goal, tie }: RatioGoal) {
  return { goal, judged: "median" as const, ...(tie !== undefined && { tie }) };
}

/** One variant over another; undefined when one of them was not measured. */
function ratioFigure(
  what: string,
  byVariant: ReadonlyMap<string, readonly number[]>,
  one: string | undefined,
  other: string | undefined,
): Figure | undefined {
  const numerators = byVariant.get(one ?? "");
  const denominators = byVariant.get(other ?? "");
  if (numerators === undefined || denominators === undefined) return undefined;
  return { measured: `${what}, ${one} / ${other}`, runs: ratios(numerators, denominators), unit: "1" };
}
