/** Everything on a node that a daemon could leave behind, as text to compare. */
import type { Lab } from "./lab.ts";
import { until } from "./until.ts";

export interface HostState {
  readonly nftables: string;
  readonly rules: string;
  readonly routes: string;
  /** Network settings; without those that count or age by themselves. */
  readonly sysctls: string;
}

const COMMANDS: Readonly<Record<keyof HostState, readonly string[]>> = {
  nftables: ["nft", "list", "ruleset"],
  rules: ["sh", "-c", "ip rule; ip -6 rule"],
  routes: ["sh", "-c", "ip route show table all; ip -6 route show table all"],
  sysctls: ["sh", "-c", "sysctl -a 2>/dev/null | grep '^net\\.' | grep -v conntrack_count"],
};

const SETTLE_LIMIT_MS = 5000;

/** The node's state, once the kernel has finished with its own addresses: their duplicate detection takes seconds. */
export async function hostState(lab: Lab, node: string): Promise<HostState> {
  await until(async () => (await lab.run(node, ["ip", "-6", "address", "show", "tentative"])) === "", {
    what: `the addresses of ${node} are settled`,
    limitMs: SETTLE_LIMIT_MS,
  });
  const entries = Object.entries(COMMANDS).map(async ([name, command]) => [name, await lab.run(node, command)]);
  return Object.fromEntries(await Promise.all(entries)) as HostState;
}

/** The lines that are in one state only. */
export function differences(before: HostState, after: HostState): string[] {
  return (Object.keys(COMMANDS) as (keyof HostState)[]).flatMap((name) => {
    const [old, current] = [before[name].split("\n"), after[name].split("\n")];
    const gone = old.filter((line) => !current.includes(line)).map((line) => `- ${line}`);
    return [...gone, ...current.filter((line) => !old.includes(line)).map((line) => `+ ${line}`)];
  });
}
