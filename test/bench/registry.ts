/** What a million tokens cost in a Redis on this host. */
import { RedisRegistry } from "@hybrid-access/core/services/registry/redis";
import { RedisFleet } from "../lab/redis.ts";
import { until } from "../lab/until.ts";
import { eventually } from "../support/eventually.ts";
import type { Figure } from "./benchmark.ts";

const TOKENS = 1_000_000;
const LOOKUPS = 200_000;
const AT_ONCE = 200;
/** Longer than it takes to write them all and to look some up. */
const LIFE_MS = 180_000;
const NODES = ["conv1", "conv2", "conv3"];
/** Spreads numbers over the 32 bits of tokens, each once. */
const SPREAD = 2_654_435_761;

export async function registryFigures(say: (line: string) => void): Promise<Figure[]> {
  const fleet = await RedisFleet.single();
  const registry = new RedisRegistry("farm", fleet.settings, () => {});
  try {
    await eventually(5000, () => registry.members());
    const used = async () => Number(/used_memory:(\d+)/.exec(await fleet.command(0, "info", "memory"))?.[1]);
    const emptyBytes = await used();
    say(`${TOKENS} tokens into Redis`);
    const publishRate = await inBatches(TOKENS, async (index) => {
      const owner = await registry.claimToken(tokenOf(index), NODES[index % NODES.length] ?? "", LIFE_MS);
      if (owner !== undefined) throw new Error(`token ${index} belongs to ${owner}`);
    });
    const bytes = ((await used()) - emptyBytes) / TOKENS;
    say(`${LOOKUPS} look-ups`);
    let late = 0;
    const lookupRate = await inBatches(LOOKUPS, async (index) => {
      const expected = NODES[(index * 5) % NODES.length];
      const owner = await registry.ownerOfToken(tokenOf(index * 5)).catch(() => "late");
      if (owner === "late") late += 1;
      else if (owner !== expected) throw new Error(`token ${index * 5} is said to be ${owner}'s`);
    });
    say("until all have expired");
    await until(async () => Number(await fleet.command(0, "dbsize")) === 0, {
      what: "nothing is left in Redis",
      limitMs: 2 * LIFE_MS,
      everyMs: 1000,
    });
    return [
      { measured: "a million tokens: memory of Redis for each", runs: [bytes], unit: "bytes" },
      { measured: "a million tokens: published", runs: [publishRate], unit: "1/s" },
      { measured: "a million tokens: looked up", runs: [lookupRate], unit: "1/s" },
      { measured: "a million tokens: look-ups that missed their deadline", runs: [late / LOOKUPS], unit: "1" },
      { measured: "a million tokens: keys left after expiry", runs: [0], unit: "keys", goal: { atMost: 0 } },
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
