/**
 * `npm run soak -- [--minutes <n> | --hours <n>]`: mixed traffic through the pair, for as long as told. Every byte is
 * checked; afterwards both daemons must have what they had after the first fifth of the time: descriptors exactly,
 * memory within a bound, no connection. Prints one line of JSON now and then; the exit code is 1 when something is left.
 */
import { parseArgs } from "node:util";
import { SeededRandom } from "@hybrid-access/core/base/random";
import { ADDRESS, cableTopology } from "../lab/hybrid.ts";
import { type Exchange, Load } from "../lab/load.ts";
import { type DaemonName, Pair } from "../lab/pair.ts";
import { descriptorsOf, residentBytesOf } from "../lab/process-figures.ts";
import { until } from "../lab/until.ts";

const DAEMONS: readonly DaemonName[] = ["hag", "hcpe"];
const PORT = 7000;
const AT_ONCE = 64;
const ROUND_CONNECTIONS = 2000;
const ROUND_LIMIT_MS = 120_000;
const IDLE_LIMIT_MS = 10_000;
const MOST_GROWTH_BYTES = 2 * 1024 * 1024;
const USAGE_ERROR = 2;

interface Figures {
  readonly descriptors: number;
  readonly residentBytes: number;
}

/** Mostly small, some bulk, a fifth aborted anywhere. */
function exchanges(random: SeededRandom): Exchange[] {
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

async function soak(minutes: number): Promise<readonly string[]> {
  const pair = await Pair.up({ topology: cableTopology() });
  const load = new Load(pair.lab, ADDRESS.server, PORT);
  const random = new SeededRandom(1);
  const startMs = performance.now();
  const minutesGone = () => (performance.now() - startMs) / 60_000;
  let warm: Record<DaemonName, Figures> | undefined;
  let last: Record<DaemonName, Figures>;
  try {
    do {
      const { completed, aborted } = await load.carry(exchanges(random), AT_ONCE, ROUND_LIMIT_MS);
      last = await figures(pair);
      if (minutesGone() >= minutes / 5) warm ??= last;
      process.stdout.write(`${JSON.stringify({ minutes: minutesGone(), completed, aborted, ...last })}\n`);
    } while (minutesGone() < minutes);
    return [...load.result.failures, ...leftovers(warm ?? last, last)];
  } finally {
    load.close();
    await pair.down();
  }
}

function leftovers(warm: Record<DaemonName, Figures>, last: Record<DaemonName, Figures>): string[] {
  return DAEMONS.flatMap((name) => {
    const descriptors = last[name].descriptors - warm[name].descriptors;
    const growthBytes = last[name].residentBytes - warm[name].residentBytes;
    return [
      ...(descriptors === 0 ? [] : [`${name}: ${descriptors} descriptors more`]),
      ...(growthBytes <= MOST_GROWTH_BYTES ? [] : [`${name}: ${growthBytes} bytes of memory more`]),
    ];
  });
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { minutes: { type: "string" }, hours: { type: "string" } } });
  const minutes = values.hours === undefined ? Number(values.minutes ?? "10") : Number(values.hours) * 60;
  if (!(minutes > 0)) {
    process.stderr.write("usage: npm run soak -- [--minutes <n> | --hours <n>]\n");
    return USAGE_ERROR;
  }
  const wrong = await soak(minutes);
  for (const line of wrong) process.stderr.write(`soak: ${line}\n`);
  return wrong.length === 0 ? 0 : 1;
}

process.exitCode = await main();
