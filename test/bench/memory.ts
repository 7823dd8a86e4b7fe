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
/** A few connections before the first look, so that what every process has once is there. */
const WARM_UP = { load: "short", connections: 32, seconds: 0.01 } as const;

const GOAL_BYTES = 512;

type VariantName = typeof OURS | PeerName | typeof LIMIT;

/** Bytes for each connection. */
interface Cost {
  readonly own: number | undefined;
  readonly kernel: number;
}

export const memoryBenchmark: Benchmark = {
  summary: "memory of an idle connection through the relay, HAProxy and nginx",
  parts: { only: ["own", "kernel"], variants: [OURS, ...PEER_NAMES, LIMIT] },
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
    await load.run({ ...WARM_UP, address });
    const look = () => ({ own: hop?.process.pid === undefined ? 0 : ownBytes(hop.process.pid), kernel: slabBytes() });
    const before = look();
    await load.run({ load: "hold", address, connections });
    const after = look();
    await load.run({ load: "release" });
    return {
      own: hop && (after.own - before.own) / connections,
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

function figures(costs: ReadonlyMap<VariantName, readonly Cost[]>, { selection }: BenchmarkContext): Figure[] {
  const told: Figure[] = [];
  const unit = "B";
  for (const [name, runs] of selection.only("own") ? costs : []) {
    const own = runs.flatMap(({ own }) => (own === undefined ? [] : [own]));
    if (own.length === 0) continue;
    const goal = name === OURS && { goal: { atMost: GOAL_BYTES }, judged: "median" as const };
    told.push({ measured: `own memory of an idle connection, ${name}`, runs: own, unit, ...goal });
  }
  for (const [name, runs] of selection.only("kernel") ? costs : []) {
    const kernel = runs.map(({ kernel }) => kernel);
    told.push({ measured: `kernel's memory (slab), all sockets of it, ${name}`, runs: kernel, unit });
  }
  return told;
}
