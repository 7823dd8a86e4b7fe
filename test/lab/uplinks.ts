/** The lab's two uplinks: which are plugged in, and when the HCPE has taken notice. */
import { type AccessOptions, DEFAULT_ACCESS } from "./hybrid.ts";
import { type TransferDirection, type TransferLab, transfer } from "./transfer.ts";
import { until } from "./until.ts";

export type UplinkName = "dsl" | "lte";

export const UPLINKS: readonly UplinkName[] = ["dsl", "lte"];

/** One uplink with the other one unplugged, or both. */
export type UplinkSetting = UplinkName | "both";

const NOTICE_LIMIT_MS = 10_000;

/** The uplinks that are plugged in. */
export function pluggedIn(setting: UplinkSetting): readonly UplinkName[] {
  return setting === "both" ? UPLINKS : [setting];
}

/** The raw rate of the default links that are plugged in, summed, in bits per second. */
export function linkRate(setting: UplinkSetting, direction: TransferDirection): number {
  const side: keyof AccessOptions = direction === "download" ? "down" : "up";
  return pluggedIn(setting).reduce((sum, uplink) => sum + (DEFAULT_ACCESS[uplink][side].rateBitsPerSecond ?? 0), 0);
}

/** Plugs and unplugs, and waits until the HCPE knows and carries connections again. */
export async function useUplinks(
  lab: TransferLab,
  setting: UplinkSetting,
  signal: AbortSignal | undefined,
): Promise<void> {
  const plugged = pluggedIn(setting);
  for (const uplink of UPLINKS) await lab.pair.lab.setCarrier(uplink, plugged.includes(uplink));
  await until(() => uplinksUp(lab.pair.daemon("hcpe").log()).join() === plugged.join(), {
    what: `the HCPE sees that ${plugged.join(" and ")} can be used, and nothing else`,
    limitMs: NOTICE_LIMIT_MS,
    signal,
  });
  const small = { family: "IPv4", direction: "download", bytes: 1000, signal } as const;
  await until(async () => (await transfer(lab, small)).throughGateway, {
    what: "connections come through the gateway",
    limitMs: NOTICE_LIMIT_MS,
    signal,
  });
}

/** What the HCPE has logged last about its uplinks: the names of those that are up. */
function uplinksUp(log: string): string[] {
  const line = log
    .split("\n")
    .slice(0, -1)
    .findLast((text) => text.includes('"msg":"uplinks"'));
  if (line === undefined) return [];
  const { uplinks } = JSON.parse(line) as { uplinks: readonly { name: string; state: string }[] };
  return uplinks.filter(({ state }) => state === "up").map(({ name }) => name);
}
