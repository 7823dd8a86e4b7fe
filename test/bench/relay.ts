/** One hop: plain TCP in, Multipath TCP out. The product's relay, in its worker, beside other TCP proxies. */
import type { Benchmark, BenchmarkContext, Figure } from "./benchmark.ts";
import { compare, comparisonFigures, MEASURE_NAMES, type RatioGoal, type Variant } from "./comparison.ts";
import { Load } from "./load/load.ts";
import { ADDRESS, OneCore, relayAddress } from "./one-core.ts";
import { installPeers, PEER_NAMES, PEERS } from "./peers.ts";
import { startForwarder, startPeer } from "./proxies.ts";

const OURS = "relay";
const LIMIT = "direct";

const GOALS: readonly RatioGoal[] = [
  { measure: "up4", metric: "rate", goal: { atLeast: 1 }, tie: 0.95 },
  { measure: "down4", metric: "rate", goal: { atLeast: 1 }, tie: 0.95 },
  { measure: "up4", metric: "cpu", goal: { atMost: 1.05 } },
  { measure: "down4", metric: "cpu", goal: { atMost: 1.05 } },
  { measure: "short", metric: "perSecond", goal: { atLeast: 1.05 } },
  { measure: "ping", metric: "p50", goal: { atMost: 1.05 } },
  { measure: "ping", metric: "p99", goal: { atMost: 1.05 } },
];

export const relayBenchmark: Benchmark = {
  summary: "one hop, TCP to Multipath TCP: the relay beside HAProxy and nginx, on one core",
  parts: { only: MEASURE_NAMES, variants: [OURS, ...PEER_NAMES, LIMIT] },
  async run(context) {
    const peers = PEER_NAMES.filter((name) => context.selection.variant(name));
    if (peers.length > 0) await installPeers();
    const host = await OneCore.up(context.say);
    try {
      const load = await Load.start(host, "lan", "hag", context.signal);
      return await measured(host, load, context);
    } finally {
      await host.down();
    }
  },
};

async function measured(host: OneCore, load: Load, context: BenchmarkContext): Promise<Figure[]> {
  const { selection } = context;
  const variants: Variant[] = [];
  const place = () => ({
    listen: relayAddress("hcpe", variants.length),
    server: ADDRESS.hopServer,
    multipath: "toServer" as const,
  });
  if (selection.variant(OURS)) {
    const at = place();
    await startForwarder({ host, node: "hcpe", group: OURS }, at);
    variants.push({ name: OURS, kind: "ours", address: at.listen, group: OURS });
  }
  for (const name of PEER_NAMES.filter((peer) => selection.variant(peer))) {
    const at = place();
    const group = name.replaceAll(" ", "-");
    await startPeer({ host, node: "hcpe", group }, name, PEERS[name], at);
    variants.push({ name, kind: "peer", address: at.listen, group });
  }
  if (selection.variant(LIMIT)) variants.push({ name: LIMIT, kind: "limit", address: ADDRESS.hopServer });
  return comparisonFigures(await compare(host, load, variants, context), variants, GOALS);
}
