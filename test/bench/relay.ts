/** One hop: plain TCP in, Multipath TCP out. The product's relay, in its worker, beside other TCP proxies. */
import type { Benchmark } from "./benchmark.ts";
import { compare, comparisonFigures, MEASURE_NAMES, type RatioGoal, type Variant } from "./comparison.ts";
import { Load } from "./load/load.ts";
import { ADDRESS, onOneCore } from "./one-core.ts";
import { installPeers, PEER_NAMES } from "./peers.ts";
import { OURS, startHop } from "./proxies.ts";

const LIMIT = "direct";

const GOALS: readonly RatioGoal[] = [
  { measure: "up4", metric: "rate", goal: { atLeast: 1 }, tie: 0.95 },
  { measure: "down4", metric: "rate", goal: { atLeast: 1 }, tie: 0.95 },
  { measure: "up4", metric: "core", goal: { atLeast: 1 }, tie: 0.95 },
  { measure: "down4", metric: "core", goal: { atLeast: 1 }, tie: 0.95 },
  { measure: "up4", metric: "cpu", goal: { atMost: 1.05 } },
  { measure: "down4", metric: "cpu", goal: { atMost: 1.05 } },
  { measure: "short", metric: "perSecond", goal: { atLeast: 1.05 } },
  { measure: "short", metric: "perCore", goal: { atLeast: 1.05 } },
  { measure: "ping", metric: "p50", goal: { atMost: 1.05 } },
  { measure: "ping", metric: "p99", goal: { atMost: 1.05 } },
];

export const relayBenchmark: Benchmark = {
  summary: "one hop, TCP to Multipath TCP: the relay beside HAProxy and nginx, on one core",
  parts: { only: MEASURE_NAMES, variants: [OURS, ...PEER_NAMES, LIMIT] },
  async run(context) {
    const { selection, signal, say } = context;
    const peers = PEER_NAMES.filter((name) => selection.variant(name));
    if (peers.length > 0) await installPeers();
    return await onOneCore(say, async (host) => {
      const load = await Load.start(host, { node: "core", protocol: "mptcp" }, signal);
      const variants: Variant[] = [];
      if (selection.variant(OURS)) variants.push(await startHop(host, OURS, 0));
      for (const [index, name] of peers.entries()) variants.push(await startHop(host, name, index + 1));
      if (selection.variant(LIMIT)) variants.push({ name: LIMIT, kind: "limit", address: ADDRESS.hopServer });
      return comparisonFigures(await compare(host, load, variants, context), variants, GOALS);
    });
  },
};
