/** The userspace engine over a TUN device, with Linux as its peer, beside Linux's own sockets; and what idle connections take. */
import { fileURLToPath } from "node:url";
import type { Benchmark, BenchmarkContext, Figure } from "./benchmark.ts";
import type { TransferResult } from "./engine-client.ts";
import { IDLE, idleFigures } from "./idle-memory.ts";
import { Load } from "./load/load.ts";
import { USERSPACE_ADDRESS } from "./load/protocol.ts";
import { ADDRESS, type OneCore, onOneCore } from "./one-core.ts";
import { LOSS, lossFigures } from "./userspace-loss.ts";

const ENGINE_NAMES = ["userspace", "kernel"] as const;
const PROTOCOLS = ["mptcp", "tcp"] as const;
const DIRECTIONS = ["up", "down"] as const;
const ROUNDS = 5;
const SECONDS = 3;
const GOAL_GBITS = 3;
const CLIENT = fileURLToPath(new URL("./engine-client.js", import.meta.url));
/** The client runs on "access". */
const ROUTE = ["ip", "route", "replace", `${USERSPACE_ADDRESS}/32`, "via", "10.2.2.1"];

type Case = readonly [engine: string, protocol: string, direction: string];

export const userspaceBenchmark: Benchmark = {
  summary:
    "bulk transfers of the userspace engine over TUN, beside the kernel's sockets, on one core, and over loss; idle connections",
  parts: { only: [...PROTOCOLS, LOSS, IDLE], variants: ENGINE_NAMES },
  async run(context) {
    const { selection } = context;
    return [
      ...(PROTOCOLS.some((name) => selection.only(name)) ? await oneCoreFigures(context) : []),
      ...(selection.only(LOSS) ? await lossFigures(context) : []),
      ...(selection.only(IDLE) && selection.variant("userspace") ? await idleFigures(context) : []),
    ];
  },
};

async function oneCoreFigures(context: BenchmarkContext): Promise<Figure[]> {
  const { selection, signal, say } = context;
  const cases: Case[] = ENGINE_NAMES.filter((name) => selection.variant(name)).flatMap((engine) =>
    PROTOCOLS.filter((name) => selection.only(name)).flatMap((protocol) =>
      DIRECTIONS.map((direction) => [engine, protocol, direction] as const),
    ),
  );
  return await onOneCore(say, async (host) => {
    await host.pair.lab.run("core", ROUTE);
    await Load.start(host, { node: "core", protocol: "mptcp" }, signal);
    const runs = new Map<Case, TransferResult[]>(cases.map((one) => [one, []]));
    const rounds = selection.runs ?? (selection.quick ? 1 : ROUNDS);
    for (let round = 1; round <= rounds; round++) {
      for (const one of cases) {
        signal.throwIfAborted();
        const result = await measure(host, one, context);
        runs.get(one)?.push(result);
        say(`round ${round} of ${rounds}, ${one.join(" ")}: ${gbits(result).toFixed(2)} Gbit/s`);
      }
    }
    return cases.flatMap((one) => figuresOf(one, runs.get(one) ?? []));
  });
}

async function measure(host: OneCore, [engine, protocol, direction]: Case, context: BenchmarkContext) {
  const seconds = context.selection.quick ? 0.5 : SECONDS;
  const command = [...host.launcher, process.execPath, CLIENT, engine, protocol, direction, String(seconds)];
  return JSON.parse(await host.pair.lab.run("access", [...command, ADDRESS.hopServer])) as TransferResult;
}

function gbits({ bytes, seconds }: TransferResult): number {
  return (8 * bytes) / seconds / 1e9;
}

function figuresOf([engine, protocol, direction]: Case, results: readonly TransferResult[]): Figure[] {
  const measured = `${protocol} ${direction}, ${engine}`;
  const rate = { measured: `${measured}: throughput`, runs: results.map(gbits), unit: "Gbit/s" };
  return [
    engine === "userspace" ? { ...rate, goal: { atLeast: GOAL_GBITS }, judged: "median" } : rate,
    {
      measured: `${measured}: CPU of the process`,
      runs: results.map(({ cpuSeconds, bytes }) => (1e9 * cpuSeconds) / bytes),
      unit: "s/GB",
    },
  ];
}
