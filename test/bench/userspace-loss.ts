/**
 * One connection over a line that loses packets: the userspace engine beside Linux with the same congestion control, to
 * and from Linux. Every case has a line and two hosts of its own, and all run at once: what disturbs one disturbs all.
 */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Lab } from "../lab/lab.ts";
import type { LinkSpec, NodeSpec, RouteSpec, Topology } from "../lab/topology.ts";
import type { BenchmarkContext, Figure } from "./benchmark.ts";
import type { TransferResult } from "./engine-client.ts";
import { USERSPACE_ADDRESS } from "./load/protocol.ts";
import { ratios } from "./statistics.ts";

export const LOSS = "loss";
const ROUNDS = 5;
const SECONDS = 60;
const QUICK_SECONDS = 2;
/** For the processes to start. */
const START_LIMIT_MS = 15_000;
const GOAL_RATIO = 0.9;
/** Twice what the line holds; at the rates that loss leaves, what is in it at the end is sent within seconds. */
const BUFFER_BYTES = 1_000_000;

const LINE = { rateBitsPerSecond: 100e6, delayMs: 20, loss: 0.01 };

const ENGINES = ["userspace", "kernel"] as const;
const CONGESTIONS = ["reno", "cubic"] as const;
/** From the engine that is measured. */
const DIRECTIONS = ["up", "down"] as const;

interface Case {
  readonly engine: (typeof ENGINES)[number];
  readonly congestion: (typeof CONGESTIONS)[number];
  readonly direction: (typeof DIRECTIONS)[number];
  readonly client: string;
  readonly server: string;
  readonly serverAddress: string;
}

const CASES: readonly Case[] = DIRECTIONS.flatMap((direction) =>
  CONGESTIONS.flatMap((congestion) => ENGINES.map((engine) => ({ direction, congestion, engine }))),
).map((one, index) => ({
  ...one,
  client: `client${index}`,
  server: `server${index}`,
  serverAddress: `10.6.${index}.1`,
}));

function topology(cases: readonly Case[]): Topology {
  const nodes: Record<string, NodeSpec> = {};
  const links: LinkSpec[] = [];
  const routes: RouteSpec[] = [];
  for (const { client, server, serverAddress } of cases) {
    const clientAddress = serverAddress.replace(/1$/, "2");
    nodes[client] = { router: true };
    nodes[server] = {};
    links.push({
      name: client,
      ends: [
        { node: client, name: "line", addresses: [`${clientAddress}/24`] },
        { node: server, name: "line", addresses: [`${serverAddress}/24`] },
      ],
      emulation: { forward: LINE, backward: LINE },
    });
    routes.push({ node: server, to: `${USERSPACE_ADDRESS}/32`, via: clientAddress });
  }
  return { nodes, links, routes };
}

/** The rows of `npm run bench -- userspace --only loss`. */
export async function lossFigures(context: BenchmarkContext): Promise<Figure[]> {
  const { selection, signal, say } = context;
  const cases = CASES.filter(({ engine }) => selection.variant(engine));
  const lab = await Lab.up(topology(cases));
  try {
    for (const one of cases) await prepare(lab, one, signal);
    const runs = new Map<Case, number[]>(cases.map((one) => [one, []]));
    const rounds = selection.runs ?? (selection.quick ? 1 : ROUNDS);
    for (let round = 1; round <= rounds; round++) {
      signal.throwIfAborted();
      say(`over 1 % loss, round ${round} of ${rounds}`);
      const results = await Promise.all(cases.map((one) => measure(lab, one, context)));
      for (const [index, one] of cases.entries()) runs.get(one)?.push(results[index] ?? Number.NaN);
    }
    return cases.flatMap((one) => figuresOf(one, runs));
  } finally {
    await lab.down();
  }
}

async function prepare(lab: Lab, { client, server, congestion }: Case, signal: AbortSignal): Promise<void> {
  // What one connection has learnt must not make the next one's start.
  const sysctls = [`net.ipv4.tcp_congestion_control=${congestion}`, "net.ipv4.tcp_no_metrics_save=1"];
  for (const node of [client, server]) await lab.run(node, ["sysctl", "-qw", ...sysctls]);
  const command = [process.execPath, fileURLToPath(new URL("./load/server.js", import.meta.url)), "tcp"];
  const { stdout } = lab.spawn(server, command, { stdio: ["ignore", "pipe", 2] });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(START_LIMIT_MS)]);
  if (stdout !== null) await once(stdout, "data", { signal: limit });
}

/** Goodput in Mbit/s. */
async function measure(lab: Lab, one: Case, { selection }: BenchmarkContext): Promise<number> {
  const seconds = selection.quick ? QUICK_SECONDS : SECONDS;
  const script = fileURLToPath(new URL("./engine-client.js", import.meta.url));
  const settings = [one.engine, "tcp", one.direction, seconds, one.serverAddress, one.congestion, BUFFER_BYTES];
  const command = [process.execPath, script, ...settings.map(String)];
  const result = JSON.parse(await lab.run(one.client, command)) as TransferResult;
  return (8 * result.bytes) / result.seconds / 1e6;
}

function figuresOf(one: Case, runs: ReadonlyMap<Case, readonly number[]>): Figure[] {
  const { engine, congestion, direction } = one;
  const role = direction === "up" ? "sending" : "receiving";
  const sender = direction === "up" ? engine : "kernel";
  const measured = `1 % loss, 40 ms, ${congestion} of the ${sender}, ${engine} ${role}`;
  const own = runs.get(one) ?? [];
  const figure = { measured: `${measured}: goodput`, runs: own, unit: "Mbit/s" };
  const beside = Array.from(runs.keys()).find(
    (other) => other.engine === "kernel" && other.congestion === congestion && other.direction === direction,
  );
  if (engine === "kernel" || beside === undefined) return [figure];
  const kernel = runs.get(beside) ?? [];
  return [
    figure,
    {
      measured: `${measured}: goodput / kernel's`,
      runs: ratios(own, kernel),
      unit: "1",
      goal: { atLeast: GOAL_RATIO },
      judged: "median",
    },
  ];
}
