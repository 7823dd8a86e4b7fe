/** What one director, a process with one thread that decides, makes of packets at several rates. */
import { setTimeout as sleep } from "node:timers/promises";
import { writeUint32 } from "@hybrid-access/core/base/bytes";
import { FARM_PORT, type FarmLab, VIRTUAL } from "../lab/farm.ts";
import type { FarmTraffic } from "../lab/farm-traffic.ts";
import { processorSecondsOf } from "../lab/process-figures.ts";
import { keysOption, RawPackets, TCP_FLAG } from "../lab/raw-packets.ts";
import type { BenchmarkContext, Figure } from "./benchmark.ts";

/** A farm with traffic, for one part of the benchmark. */
export interface Running {
  readonly farm: FarmLab;
  readonly traffic: FarmTraffic;
  readonly context: BenchmarkContext;
}

const FLOOD_SECONDS = { full: 4, quick: 1 } as const;
const FLOOD_RATES = [5000, 20_000, 40_000];
const KEYS_RATE = 20_000;
const RATE_GOAL = 5000;
const FLOOD_PORTS = 64_000;

type Kind = "syn" | "key";

/** `others`: the directors that take turns again afterwards. */
export async function synRate(
  { farm, context: { say, selection } }: Running,
  others: readonly string[],
): Promise<Figure[]> {
  const floodSeconds = FLOOD_SECONDS[selection.quick ? "quick" : "full"];
  const packets = new RawPackets(farm.lab, "core", [], VIRTUAL.ipv4, FARM_PORT);
  const { pid = 0 } = farm.daemon("dir1").process;
  const measure = async (rate: number, kinds: readonly Kind[]) => {
    say(`${rate} times a second through one director: ${kinds.join(", ")}`);
    const before = { ...(await packetsOf(farm)), cpu: processorSecondsOf(pid) };
    const sent = await flood(packets, rate, kinds, floodSeconds);
    const after = await packetsOf(farm);
    const counted = { syns: after.syns - before.syns, keys: after.keys - before.keys };
    say(`  sent ${sent}, decided ${counted.syns}, looked at ${counted.keys}`);
    return { ...counted, cpu: processorSecondsOf(pid) - before.cpu };
  };
  try {
    await farm.route(["dir1"]);
    const floods = [];
    for (const rate of FLOOD_RATES) floods.push(await measure(rate, ["syn"]));
    const keys = await measure(KEYS_RATE, ["key"]);
    const both = await measure(KEYS_RATE, ["syn", "key"]);
    const most = floods.map(({ syns }) => syns / floodSeconds);
    const perCore = floods.map(({ syns, cpu }) => syns / cpu);
    return [
      {
        measured: "SYNs one director decides, most in a second",
        runs: [Math.max(...most)],
        unit: "1/s",
        goal: { atLeast: RATE_GOAL },
      },
      {
        measured: "SYNs one director decides, for each second of its CPU time",
        runs: [Math.max(...perCore)],
        unit: "1/s",
      },
      { measured: "a director's CPU time for a SYN", runs: [1e6 / Math.max(...perCore)], unit: "us" },
      { measured: "a director's CPU time for a third ACK", runs: [(1e6 * keys.cpu) / keys.keys], unit: "us" },
      {
        measured: `SYNs each with its third ACK, ${KEYS_RATE} sent a second: SYNs decided`,
        runs: [both.syns / floodSeconds],
        unit: "1/s",
        goal: { atLeast: RATE_GOAL },
      },
      {
        measured: `SYNs each with its third ACK, ${KEYS_RATE} sent a second: third ACKs looked at`,
        runs: [both.keys / floodSeconds],
        unit: "1/s",
      },
    ];
  } finally {
    packets.close();
    await farm.route(others);
  }
}

async function packetsOf(farm: FarmLab): Promise<{ syns: number; keys: number }> {
  const { director } = await farm.farmStatus("dir1");
  return { syns: director?.packets ?? 0, keys: director?.keys ?? 0 };
}

/** Sends `kinds` of packets, each `rate` times a second. Third ACKs are those of flows that a flood of SYNs has made. */
async function flood(packets: RawPackets, rate: number, kinds: readonly Kind[], floodSeconds: number): Promise<number> {
  const startMs = performance.now();
  const key = new Uint8Array(8);
  let sent = 0;
  for (let seconds = 0; seconds < floodSeconds; seconds = (performance.now() - startMs) / 1000) {
    for (; sent < seconds * rate; sent++) {
      const sourcePort = 1024 + (sent % FLOOD_PORTS);
      writeUint32(key, 0, sent);
      for (const kind of kinds) {
        if (kind === "syn") packets.send({ sourcePort, flags: TCP_FLAG.syn });
        else packets.send({ sourcePort, flags: TCP_FLAG.ack, options: keysOption(key) });
      }
    }
    await sleep(1);
  }
  return sent;
}
