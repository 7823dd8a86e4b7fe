/** What an idle connection costs: the relay's own memory, and the kernel's for the sockets. */
import { readFileSync } from "node:fs";
import type { Benchmark, BenchmarkContext, Figure } from "./benchmark.ts";
import { Load } from "./load/load.ts";
import { ADDRESS, endProcess, type OneCore, onOneCore } from "./one-core.ts";
import { installPeers, PEER_NAMES, type PeerName } from "./peers.ts";
import { OURS, startHop } from "./proxies.ts";

const LIMIT = "direct";
const CONNECTIONS = 8000;
const QUICK_CONNECTIONS = 200;
const ROUNDS = 5;
/**
 * Short connections before the first look: what a process grows by because it works (ours by the heap's young generation)
 * is told with the whole process, and is not the idle connections'.
 */
const WARM_UP_CONNECTIONS = 20_000;
const WARM_UP = { load: "short", connections: 32, seconds: 0.5 } as const;
const GOAL_BYTES = 512;

type VariantName = typeof OURS | PeerName | typeof LIMIT;

/** "own" and "kernel" in bytes for each connection, "whole" in MB for the process; without a relay, only "kernel". */
type Cost = Readonly<Record<"own" | "whole", number | undefined> & Record<"kernel", number>>;

export const memoryBenchmark: Benchmark = {
  summary: "memory of an idle connection through the relay, HAProxy and nginx",
  parts: { only: ["own", "whole", "kernel"], variants: [OURS, ...PEER_NAMES, LIMIT] },
  async run(context) {
    const { selection, signal, say } = context;
    const names = [OURS, ...PEER_NAMES, LIMIT].filter((name) => selection.variant(name)) as VariantName[];
    if (PEER_NAMES.some((name) => selection.variant(name))) await installPeers();
    return await onOneCore(say, async (host) => {
      const load = await Load.start(host, { node: "core", protocol: "mptcp" }, signal);
      const costs = new Map<VariantName, Cost[]>(names.map((name) => [name, []]));
      const rounds = selection.runs ?? (selection.quick ? 1 : ROUNDS);
      for (let round = 1; round <= rounds; round++) {
        for (const name of names) {
          signal.throwIfAborted();
          const cost = await measure(host, load, name, context);
          costs.get(name)?.push(cost);
          say(`round ${round} of ${rounds}, ${name}: ${JSON.stringify(cost)}`);
        }
      }
      return figures(costs, context);
    });
  },
};

/** A fresh process each time: memory that was used once is seldom given back, and would be used again unseen. */
async function measure(host: OneCore, load: Load, name: VariantName, { selection }: BenchmarkContext): Promise<Cost> {
  const hop = name === LIMIT ? undefined : await startHop(host, name, 0);
  const address = hop?.address ?? ADDRESS.hopServer;
  const connections = selection.quick ? QUICK_CONNECTIONS : CONNECTIONS;
  try {
    const warm = selection.quick ? 1 : WARM_UP_CONNECTIONS;
    for (let carried = 0; carried < warm; ) carried += (await load.run({ ...WARM_UP, address })).count;
    const look = () => ({ own: hop?.process.pid === undefined ? 0 : ownBytes(hop.process.pid), kernel: slabBytes() });
    const before = look();
    await load.run({ load: "hold", address, connections });
    const after = look();
    await load.run({ load: "release" });
    return {
      own: hop && (after.own - before.own) / connections,
      whole: hop && after.own / 1e6,
      kernel: (after.kernel - before.kernel) / connections,
    };
  } finally {
    if (hop !== undefined) await endProcess(hop.process);
  }
}

/** Memory that is this process's alone and no file's. */
function ownBytes(pid: number): number {
  return kibibytes(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"), "Anonymous");
}

/** The kernel's objects, of the whole host. */
function slabBytes(): number {
  return kibibytes(readFileSync("/proc/meminfo", "utf8"), "Slab");
}

/** The value of a line such as "Slab:   1234 kB", in bytes. NaN when there is none. */
export function kibibytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? Number.NaN) * 1024;
}

const TOLD: readonly (readonly [part: keyof Cost, what: string, unit: string])[] = [
  ["own", "own memory of an idle connection", "B"],
  ["whole", "own memory of the whole process with them", "MB"],
  ["kernel", "kernel's memory (slab), all sockets of a connection", "B"],
];

function figures(costs: ReadonlyMap<VariantName, readonly Cost[]>, { selection }: BenchmarkContext): Figure[] {
  return TOLD.filter(([part]) => selection.only(part)).flatMap(([part, what, unit]) =>
    Array.from(costs).flatMap(([name, measured]): Figure[] => {
      const runs = measured.flatMap((cost) => cost[part] ?? []);
      if (runs.length === 0) return [];
      const goal = part === "own" && name === OURS && { goal: { atMost: GOAL_BYTES }, judged: "median" as const };
      return [{ measured: `${what}, ${name}`, runs, unit, ...goal }];
    }),
  );
}
