/**
 * `npm run soak -- [--minutes <n> | --hours <n>]`: mixed traffic through the pair, for as long as told. Every byte is
 * checked; between the rounds both daemons must have no connection, and as many descriptors at the end as after the first
 * round. Memory goes up and down with the garbage collector, and up to what buffers the busiest moment needed; it grows
 * when even its least in the last two fifths is above its most in the first two. Prints one line of JSON for each round;
 * the exit code is 1 when something is left.
 *
 * `npm run soak -- --connections <n>`: the same for so many short connections, a fifth of them aborted anywhere. They need
 * no buffers that are kept: the least memory in the last fifth may be 2 MiB more than the most in the first.
 */
import { parseArgs } from "node:util";
import { SeededRandom } from "@hybrid-access/core/base/random";
import { ADDRESS, cableTopology } from "../lab/hybrid.ts";
import { type Exchange, Load } from "../lab/load.ts";
import { type DaemonName, Pair } from "../lab/pair.ts";
import { descriptorsOf, residentBytesOf } from "../lab/process-figures.ts";
import { shortConnections } from "../lab/short-connections.ts";
import { until } from "../lab/until.ts";

const DAEMONS: readonly DaemonName[] = ["hag", "hcpe"];
const PORT = 7000;
const AT_ONCE = 64;
const ROUND_CONNECTIONS = 2000;
const ROUND_SHORT_CONNECTIONS = 20_000;
const ROUND_LIMIT_MS = 120_000;
const IDLE_LIMIT_MS = 10_000;
/** A relay keeps the buffers that slow receivers have needed at once: each connection may come to need one. */
const RELAY_BUFFER_BYTES = 256 * 1024;
const MOST_GROWTH_BYTES = 2 * 1024 * 1024;
const USAGE_ERROR = 2;

interface Figures {
  readonly descriptors: number;
  readonly residentBytes: number;
}

/** `progress` is what the soak's end is told in: minutes, or connections. */
type Round = { readonly progress: number } & Readonly<Record<DaemonName, Figures>>;

/** What is carried, and until when. */
interface Plan {
  readonly until: number;
  readonly exchanges: (random: SeededRandom) => Exchange[];
  /** How far it is. */
  readonly progress: (sinceMs: number, ended: number) => number;
  /** Resident memory after each round, and how far that was: what it has grown by beside what is allowed. */
  readonly growthBytes: (resident: readonly Resident[]) => number;
}

interface Resident {
  /** From 0 to 1. */
  readonly share: number;
  readonly bytes: number;
}

const minutesPlan = (minutes: number): Plan => ({
  until: minutes,
  exchanges: mixed,
  progress: (sinceMs) => (performance.now() - sinceMs) / 60_000,
  growthBytes: (resident) => least(resident, 3 / 5) - most(resident, 2 / 5) - AT_ONCE * RELAY_BUFFER_BYTES,
});

const connectionsPlan = (connections: number): Plan => ({
  until: connections,
  exchanges: (random) => shortConnections(random, Math.min(ROUND_SHORT_CONNECTIONS, connections)),
  progress: (_, ended) => ended,
  growthBytes: (resident) => least(resident, 4 / 5) - most(resident, 1 / 5),
});

/** The most until so much was done; the first round counts in any case. */
function most(resident: readonly Resident[], until: number): number {
  return Math.max(...resident.filter(({ share }, index) => index === 0 || share <= until).map(({ bytes }) => bytes));
}

/** The least since so much was done. */
function least(resident: readonly Resident[], since: number): number {
  return Math.min(...resident.filter(({ share }) => share >= since).map(({ bytes }) => bytes));
}

/** Mostly small, some bulk, a fifth aborted anywhere. */
function mixed(random: SeededRandom): Exchange[] {
  return Array.from({ length: ROUND_CONNECTIONS }, () => {
    const upBytes = Math.floor(random.next() ** 8 * 5_000_000);
    const downBytes = Math.floor(random.next() ** 8 * 5_000_000);
    const aborted = random.next() < 0.2;
    return { upBytes, downBytes, ...(aborted && { abortAfterBytes: random.next() * (upBytes + downBytes) }) };
  });
}

/** Waits until no connection is left, and looks. */
async function figures(pair: Pair): Promise<Record<DaemonName, Figures>> {
  const seen: Partial<Record<DaemonName, Figures>> = {};
  for (const name of DAEMONS) {
    const idle = async () => {
      const { connectionsActive, pendingBytes } = (await pair.status(name)).counters;
      return connectionsActive === 0 && pendingBytes === 0;
    };
    await until(idle, { what: `${name} without connections`, limitMs: IDLE_LIMIT_MS });
    const pid = pair.daemon(name).process.pid ?? 0;
    seen[name] = { descriptors: descriptorsOf(pid), residentBytes: residentBytesOf(pid) };
  }
  return seen as Record<DaemonName, Figures>;
}

async function soak({ until: end, exchanges, progress, growthBytes }: Plan): Promise<readonly string[]> {
  const pair = await Pair.up({ topology: cableTopology() });
  const load = new Load(pair.lab, ADDRESS.server, PORT);
  const random = new SeededRandom(1);
  const startMs = performance.now();
  const rounds: Round[] = [];
  try {
    for (let gone = 0; gone < end; ) {
      const { completed, aborted, failures } = await load.carry(exchanges(random), AT_ONCE, ROUND_LIMIT_MS);
      const seen = await figures(pair);
      gone = progress(startMs, completed + aborted + failures.length);
      rounds.push({ progress: gone, ...seen });
      const minutes = (performance.now() - startMs) / 60_000;
      process.stdout.write(`${JSON.stringify({ minutes, completed, aborted, ...seen })}\n`);
    }
    return [...load.result.failures, ...DAEMONS.flatMap((name) => leftovers(name, rounds, growthBytes))];
  } finally {
    load.close();
    await pair.down();
  }
}

function leftovers(name: DaemonName, rounds: readonly Round[], growthOf: Plan["growthBytes"]): string[] {
  const last = rounds.at(-1)?.progress ?? 0;
  const growthBytes = growthOf(
    rounds.map((round) => ({ share: round.progress / last, bytes: round[name].residentBytes })),
  );
  const descriptors = (rounds.at(-1)?.[name].descriptors ?? 0) - (rounds[0]?.[name].descriptors ?? 0);
  return [
    ...(descriptors === 0 ? [] : [`${name}: ${descriptors} descriptors more`]),
    ...(growthBytes <= MOST_GROWTH_BYTES ? [] : [`${name}: ${growthBytes} bytes of memory more`]),
  ];
}

const USAGE = "usage: npm run soak -- [--minutes <n> | --hours <n> | --connections <n>]\n";

function readPlan(): Plan | undefined {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { minutes: text, hours: text, connections: text } });
  if (values.connections !== undefined) {
    const connections = Number(values.connections);
    return connections > 0 ? connectionsPlan(connections) : undefined;
  }
  const minutes = values.hours === undefined ? Number(values.minutes ?? "10") : Number(values.hours) * 60;
  return minutes > 0 ? minutesPlan(minutes) : undefined;
}

async function main(): Promise<number> {
  const plan = readPlan();
  if (plan === undefined) {
    process.stderr.write(USAGE);
    return USAGE_ERROR;
  }
  const wrong = await soak(plan);
  for (const line of wrong) process.stderr.write(`soak: ${line}\n`);
  return wrong.length === 0 ? 0 : 1;
}

process.exitCode = await main();
