/** Tokens that stand in the lab's Redis as if a converter had published them. */
import { Keys } from "@hybrid-access/core/services/registry/keys";
import type { FarmLab } from "./farm.ts";

/** A command's line has an end. */
const AT_ONCE = 2000;
const SCRIPT = "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1], 'PX', 600000) end";

export async function ownBy(farm: FarmLab, node: string, tokens: readonly number[]): Promise<void> {
  const keys = new Keys("farm");
  for (let from = 0; from < tokens.length; from += AT_ONCE) {
    const names = tokens.slice(from, from + AT_ONCE).map((token) => keys.token(token));
    await farm.redis.command(0, "eval", SCRIPT, String(names.length), ...names, node);
  }
}
