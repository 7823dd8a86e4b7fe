/** What a million tokens cost in a Redis on this host. */
import { RedisRegistry } from "@hybrid-access/core/services/registry/redis";
import { RedisFleet } from "../lab/redis.ts";
import { until } from "../lab/until.ts";
import { eventually } from "../support/eventually.ts";
import type { Figure } from "./benchmark.ts";

const MILLION = 1_000_000;
const AT_ONCE = 200;
/** Longer than it takes to write a million and to look some up. */
const LIFE_MS = 180_000;
const NODES = ["conv1", "conv2", "conv3"];
/** Spreads numbers over the 32 bits of tokens, each once. */
const SPREAD = 2_654_435_761;

/** `part` of a million tokens, and of the time they live. */
export async function registryFigures(say: (line: string) => void, part: number): Promise<Figure[]> {
  const tokens = MILLION * part;
  const lookups = tokens / 5;
  const lifeMs = LIFE_MS * part;
  const fleet = await RedisFleet.single();
  const registry = new RedisRegistry("farm", fleet.settings, () => {});
  try {
    await eventually(5000, () => registry.members());
    const used = async () => Number(/used_memory:(\d+)/.exec(await fleet.command(0, "info", "memory"))?.[1]);
    const emptyBytes = await used();
    say(`${tokens} tokens into Redis`);
    const publishRate = await inBatches(tokens, async (index) => {
      const owner = await registry.claimToken(tokenOf(index), NODES[index % NODES.length] ?? "", lifeMs);
      if (owner !== undefined) throw new Error(`token ${index} belongs to ${owner}`);
    });
    const bytes = ((await used()) - emptyBytes) / tokens;
    say(`${lookups} look-ups`);
    let late = 0;
    const lookupRate = await inBatches(lookups, async (index) => {
      const expected = NODES[(index * 5) % NODES.length];
      const owner = await registry.ownerOfToken(tokenOf(index * 5)).catch(() => "late");
      if (owner === "late") late += 1;
      else if (owner !== expected) throw new Error(`token ${index * 5} is said to be ${owner}'s`);
    });
    say("until all have expired");
    const keys = async () => Number(await fleet.command(0, "dbsize"));
    // What is still there then is the figure.
    await until(async () => (await keys()) === 0, { what: "", limitMs: 2 * lifeMs, everyMs: 500 }).catch(() => {});
    const left = await keys();
    return [
      { measured: `${tokens} tokens: memory of Redis for each`, runs: [bytes], unit: "bytes" },
      { measured: `${tokens} tokens: published`, runs: [publishRate], unit: "1/s" },
      { measured: `${tokens} tokens: looked up`, runs: [lookupRate], unit: "1/s" },
      { measured: `${tokens} tokens: look-ups that missed their deadline`, runs: [late / lookups], unit: "1" },
      { measured: `${tokens} tokens: keys left after expiry`, runs: [left], unit: "keys", goal: { atMost: 0 } },
    ];
  } finally {
    registry.close();
    await fleet.close();
  }
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
