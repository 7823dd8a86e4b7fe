/** Both hops: the real `hcpe` and the real `hag`, beside two other TCP proxies in their places. */
import { HAG_CONFIG } from "../lab/pair.ts";
import type { Benchmark, Figure } from "./benchmark.ts";
import {
  compare,
  comparisonFigures,
  MEASURE_NAMES,
  MEASURES,
  type MeasureName,
  type RatioGoal,
  type Runs,
  type Variant,
} from "./comparison.ts";
import { Load } from "./load/load.ts";
import { ADDRESS, type OneCore, onOneCore, relayAddress } from "./one-core.ts";
import { installPeers, PEER_NAMES, type PeerName } from "./peers.ts";
import { startPeer } from "./proxies.ts";
import { median } from "./statistics.ts";

const OURS = "pair";
const LIMIT = "direct";

const HCPE_CONFIG = `
lan: { interfaces: [lan] }
uplinks: [ { name: dsl, interface: dsl, cost: 0 } ]
gateways: [ { address: 10.9.9.9, port: 5124 } ]
policy: aggregate
workers: 1
`;

/** The one client stands for many: the limit of new connections of one client in a second does not apply. */
const HAG_CONFIG_WITHOUT_LIMIT = `${HAG_CONFIG}limits: { newPerSecond: 1000000 }\n`;

const AGAINST: readonly PeerName[] = ["haproxy splice", "haproxy copy"];

const GOALS: readonly RatioGoal[] = [
  { measure: "up4", metric: "rate", goal: { atLeast: 1.05 }, against: AGAINST },
  { measure: "down4", metric: "rate", goal: { atLeast: 1.05 }, against: AGAINST },
  { measure: "up4", metric: "core", goal: { atLeast: 1.05 }, against: AGAINST },
  { measure: "down4", metric: "core", goal: { atLeast: 1.05 }, against: AGAINST },
  { measure: "up1", metric: "rate", goal: { atLeast: 1 }, against: AGAINST },
  { measure: "down1", metric: "rate", goal: { atLeast: 1 }, against: AGAINST },
  { measure: "short", metric: "perSecond", goal: { atLeast: 1.05 }, against: AGAINST },
  { measure: "short", metric: "perCore", goal: { atLeast: 1.05 }, against: AGAINST },
  { measure: "ping", metric: "p50", goal: { atMost: 0.9 }, against: AGAINST },
  { measure: "ping", metric: "p99", goal: { atMost: 0.9 }, against: AGAINST },
];

/** A connection whose window is full must not stall: the worst run against the median of all. */
const STEADY: readonly MeasureName[] = ["up1", "down1"];
const STEADY_GOAL = 0.5;

export const pairBenchmark: Benchmark = {
  summary: "both hops: hcpe and hag beside HAProxy and nginx in both places, on one core",
  parts: { only: MEASURE_NAMES, variants: [OURS, ...PEER_NAMES, LIMIT] },
  async run(context) {
    const { selection, signal, say } = context;
    const peers = PEER_NAMES.filter((name) => selection.variant(name));
    if (peers.length > 0) await installPeers();
    return await onOneCore(say, async (host) => {
      const load = await Load.start(host, { node: "srv", protocol: "tcp" }, signal);
      const variants: Variant[] = [];
      if (selection.variant(OURS)) variants.push(await startDaemons(host));
      for (const [index, name] of peers.entries()) variants.push(await startBoth(host, name, index));
      if (selection.variant(LIMIT)) variants.push({ name: LIMIT, kind: "limit", address: ADDRESS.server });
      const comparison = await compare(host, load, variants, context);
      if (selection.variant(OURS)) await requireCarried(host);
      return [...comparisonFigures(comparison, variants, GOALS), ...steadiness(comparison.runs)];
    });
  },
};

async function startDaemons({ pair, cpu, launcher }: OneCore): Promise<Variant> {
  for (const [name, config] of [
    ["hag", HAG_CONFIG_WITHOUT_LIMIT],
    ["hcpe", HCPE_CONFIG],
  ] as const) {
    const { process } = await pair.start(name, config, { launcher });
    if (process.pid !== undefined) cpu.add(OURS, process.pid);
  }
  return { name: OURS, kind: "ours", address: ADDRESS.carriedServer, group: OURS };
}

/** The HCPE hides failures by going direct; a figure of that would be no figure of the pair. */
async function requireCarried({ pair }: OneCore): Promise<void> {
  const { connectionsDirect } = (await pair.status("hcpe")).counters;
  const { connectionsPlain, connectionsMultipath } = (await pair.status("hag")).counters;
  if (connectionsDirect !== 0 || connectionsPlain !== 0 || !connectionsMultipath) {
    const told = `${connectionsDirect} went direct, ${connectionsPlain} fell back, ${connectionsMultipath} did not`;
    throw new Error(`not every connection was carried by Multipath TCP: ${told}`);
  }
}

/** A peer in the home's place, and one in the gateway's. */
async function startBoth(host: OneCore, name: PeerName, index: number): Promise<Variant> {
  const group = name.replaceAll(" ", "-");
  const [first, second] = [relayAddress("access", index), relayAddress("core", index)];
  await startPeer({ host, node: "core", group }, name, {
    listen: second,
    server: ADDRESS.server,
    multipath: "fromClient",
  });
  await startPeer({ host, node: "access", group }, name, { listen: first, server: second, multipath: "toServer" });
  return { name, kind: "peer", address: first, group };
}

function steadiness(runs: Runs): Figure[] {
  return STEADY.flatMap((measure) => {
    const values = runs.get(measure)?.get("rate")?.get(OURS);
    if (values === undefined) return [];
    const worst = Math.min(...values) / median(values);
    const measured = `${MEASURES[measure].title}: throughput, ${OURS}, worst run / median`;
    return [{ measured, runs: [worst], unit: "1", goal: { atLeast: STEADY_GOAL } }];
  });
}
