/** Plain TCP over random paths: every byte once and in order, or a reset; and then nothing is left. */
import { DEFAULT_MPTCP_SETTINGS } from "@hybrid-access/core/stack/mptcp/settings";
import { randomTcpSettings } from "./random-choice.ts";
import type { Scenario, ScenarioRun } from "./scenario.ts";
import { StackWorld } from "./stack-world.ts";

export const TCP_SCENARIO: Scenario = { name: "tcp", run: runTcp };

/** One connection of each family over each path. */
function runTcp(seed: number, records: boolean): ScenarioRun {
  const world = new StackWorld({
    seed,
    records,
    multipath: false,
    makeSettings: (random) => ({ ...DEFAULT_MPTCP_SETTINGS, tcp: randomTcpSettings(random) }),
  });
  for (const index of Object.keys(world.paths).keys()) {
    for (const family of ["ipv4", "ipv6"] as const) world.open(1 + index, family);
  }
  return world.finish();
}
