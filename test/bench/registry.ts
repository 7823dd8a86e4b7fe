/** What a million tokens cost in a Redis on this host, and connections with their subflows. */
import { RedisRegistry } from "@hybrid-access/core/services/registry/redis";
import { RedisFleet } from "../lab/redis.ts";
import { until } from "../lab/until.ts";
import { eventually } from "../support/eventually.ts";
import type { Figure } from "./benchmark.ts";

const MILLION = 1_000_000;
const AT_ONCE = 200;
/** Longer than it takes to write everything and to look some up. */
const LIFE_MS = 600_000;
/** What is left of all lives when everything has been measured. */
const LAST_MS = 1000;
const EXPIRY_LIMIT_MS = 120_000;
const SUBFLOWS = 2;
const NODES = ["conv1", "conv2", "conv3"];
/** Spreads numbers over the 32 bits of tokens, each once. */
const SPREAD = 2_654_435_761;

/** `part` of a million tokens. */
export async function registryFigures(say: (line: string) => void, part: number): Promise<Figure[]> {
  const tokens = MILLION * part;
  const lookups = tokens / 5;
  const fleet = await RedisFleet.single();
  const registry = new RedisRegistry("farm", fleet.settings, () => {});
  try {
    await eventually(5000, () => registry.members());
    const used = async () => Number(/used_memory:(\d+)/.exec(await fleet.command(0, "info", "memory"))?.[1]);
    const emptyBytes = await used();
    say(`${tokens} tokens into Redis`);
    const claim = async (index: number, lifeMs: number) => {
      const owner = await registry.claimToken(tokenOf(index), nodeOf(index), lifeMs);
      if (owner !== undefined) throw new Error(`token ${index} belongs to ${owner}`);
    };
    const publishRate = await inBatches(tokens, (index) => claim(index, LIFE_MS));
    const bytes = ((await used()) - emptyBytes) / tokens;
    say(`${lookups} look-ups`);
    let late = 0;
    const lookupRate = await inBatches(lookups, async (index) => {
      const expected = nodeOf(index * 5);
      const owner = await registry.ownerOfToken(tokenOf(index * 5)).catch(() => "late");
      if (owner === "late") late += 1;
      else if (owner !== expected) throw new Error(`token ${index * 5} is said to be ${owner}'s`);
    });
    say(`${SUBFLOWS} flows for each`);
    const claimFlow = (index: number, lifeMs: number) =>
      registry.claimFlow(flowOf(index), nodeOf(Math.floor(index / SUBFLOWS)), lifeMs);
    await inBatches(SUBFLOWS * tokens, (index) => claimFlow(index, LIFE_MS));
    const connectionBytes = ((await used()) - emptyBytes) / tokens;
    say("renewed for the last time, and until all have expired");
    await inBatches(tokens, (index) => claim(index, LAST_MS));
    await inBatches(SUBFLOWS * tokens, (index) => claimFlow(index, LAST_MS));
    const keys = async () => Number(await fleet.command(0, "dbsize"));
    // What is still there then is the figure.
    await until(async () => (await keys()) === 0, { what: "", limitMs: EXPIRY_LIMIT_MS, everyMs: 200 }).catch(() => {});
    const left = await keys();
    return [
      { measured: `${tokens} tokens: memory of Redis for each`, runs: [bytes], unit: "bytes" },
      {
        measured: `${tokens} connections, a token and ${SUBFLOWS} subflows: memory of Redis for each`,
        runs: [connectionBytes],
        unit: "bytes",
      },
      { measured: `${tokens} tokens: published`, runs: [publishRate], unit: "1/s" },
      { measured: `${tokens} tokens: looked up, ${lookups} of them once`, runs: [lookupRate], unit: "1/s" },
      { measured: `${tokens} tokens: look-ups that missed their deadline`, runs: [late / lookups], unit: "1" },
      { measured: `${tokens} tokens: keys left after expiry`, runs: [left], unit: "keys", goal: { atMost: 0 } },
    ];
  } finally {
    registry.close();
    await fleet.close();
  }
}

function nodeOf(index: number): string {
  return NODES[index % NODES.length] ?? "";
}

/** As isFlowId wants it: a client's address and port, and the service's port. */
function flowOf(index: number): string {
  return `${(0x0a00_0000 + (index >>> 14)).toString(16).padStart(8, "0")}${(0x8000 + (index & 0x3fff)).toString(16)}1404`;
}

function tokenOf(index: number): number {
  return Math.imul(index, SPREAD) >>> 0;
}

/** Runs `call` for 0 to `count` - 1, some at once; gives calls a second. */
async function inBatches(count: number, call: (index: number) => Promise<void>): Promise<number> {
  const startMs = performance.now();
  for (let from = 0; from < count; from += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, index) => call(from + index)));
  }
  return (1000 * count) / (performance.now() - startMs);
}
