/** What one director, a process with one thread that decides, makes of packets at several rates. */
import { setTimeout as sleep } from "node:timers/promises";
import { concatBytes, writeUint32 } from "@hybrid-access/core/base/bytes";
import { FARM_PORT, type FarmLab, VIRTUAL } from "../lab/farm.ts";
import { ownBy } from "../lab/farm-owners.ts";
import type { FarmTraffic } from "../lab/farm-traffic.ts";
import { processorSecondsOf } from "../lab/process-figures.ts";
import { joinOption, keysOption, RawPackets, TCP_FLAG } from "../lab/raw-packets.ts";
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

/** What most systems send: maximum segment size, selective acknowledgements, timestamps, window scale. */
const USUAL_OPTIONS = Uint8Array.of(2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7);
/** RFC 8684 section 3.1: MP_CAPABLE of version 1 in a SYN. */
const CAPABLE_OPTIONS = concatBytes([USUAL_OPTIONS, Uint8Array.of(30, 4, 0x01, 0x01)]);
/** Of ten mixed SYNs five are of new connections, four join one that the director remembers, one is looked up in Redis. */
const MIX = ["capable", "cached", "capable", "cached", "capable", "cached", "capable", "cached", "capable", "redis"];
const CACHED_TOKENS = 1000;
const FIRST_CACHED = 0x1000_0000;
const FIRST_UNKNOWN = 0x2000_0000;

/** "syn": without options, the cheapest. */
type Kind = "syn" | "key" | "mixed";

/** `directors`: those that take turns again afterwards. */
export async function synRate(
  { farm, context: { say, selection } }: Running,
  directors: readonly string[],
): Promise<Figure[]> {
  const floodSeconds = FLOOD_SECONDS[selection.quick ? "quick" : "full"];
  const sender = new Sender(new RawPackets(farm.lab, "core", [], VIRTUAL.ipv4, FARM_PORT));
  const { pid = 0 } = farm.daemon("dir1").process;
  const measure = async (rate: number, kinds: readonly Kind[]) => {
    say(`${rate} times a second through one director: ${kinds.join(", ")}`);
    const before = { ...(await packetsOf(farm)), cpu: processorSecondsOf(pid) };
    const sent = await sender.flood(rate, kinds, floodSeconds);
    const after = await packetsOf(farm);
    const counted = { syns: after.syns - before.syns, keys: after.keys - before.keys };
    const joins = { known: after.joins - before.joins, dropped: after.dropped - before.dropped };
    say(`  sent ${sent}, decided ${counted.syns}, looked at ${counted.keys}, joins ${JSON.stringify(joins)}`);
    return { ...counted, ...joins, cpu: processorSecondsOf(pid) - before.cpu };
  };
  try {
    await farm.route(["dir1"]);
    const floods = [];
    for (const rate of FLOOD_RATES) floods.push(await measure(rate, ["syn"]));
    const keys = await measure(KEYS_RATE, ["key"]);
    const both = await measure(KEYS_RATE, ["syn", "key"]);
    say("tokens into Redis, and some of them into the director's memory");
    const cached = Array.from({ length: CACHED_TOKENS }, (_, index) => FIRST_CACHED + index);
    const lookedUp = floodSeconds * FLOOD_RATES.reduce((sum, rate) => sum + rate / MIX.length + 1);
    const others = Array.from({ length: Math.ceil(1.1 * lookedUp) }, (_, index) => FIRST_UNKNOWN + index);
    await ownBy(farm, "conv1", [...cached, ...others]);
    const mixes = [];
    for (const rate of FLOOD_RATES) {
      await sender.warm(cached);
      mixes.push(await measure(rate, ["mixed"]));
    }
    const known = sumOf(mixes.map((mix) => mix.known));
    const joins = known + sumOf(mixes.map(({ dropped }) => dropped));
    return [
      ...rateFigures("SYNs", "a SYN", floods, floodSeconds),
      ...rateFigures("mixed SYNs with all usual options", "a mixed SYN", mixes, floodSeconds),
      { measured: "mixed SYNs: joins that go to their owner", runs: [known / joins], unit: "1" },
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
    sender.close();
    await farm.route(directors);
  }
}

interface Flood {
  readonly syns: number;
  readonly cpu: number;
}

/** Of the rates that were tried, the one that the director made most of. */
function rateFigures(what: string, one: string, floods: readonly Flood[], floodSeconds: number): Figure[] {
  const most = floods.map(({ syns }) => syns / floodSeconds);
  const perCore = floods.map(({ syns, cpu }) => syns / cpu);
  return [
    {
      measured: `${what} one director decides, most in a second`,
      runs: [Math.max(...most)],
      unit: "1/s",
      goal: { atLeast: RATE_GOAL },
    },
    {
      measured: `${what} one director decides, for each second of its CPU time`,
      runs: [Math.max(...perCore)],
      unit: "1/s",
    },
    { measured: `a director's CPU time for ${one}`, runs: [1e6 / Math.max(...perCore)], unit: "us" },
  ];
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** What the director has seen, and the joins among it: those that went to their owner, and those dropped for any reason. */
async function packetsOf(farm: FarmLab) {
  const { director = {} as Readonly<Record<string, number>> } = await farm.farmStatus("dir1");
  const all = (...names: readonly string[]) => sumOf(names.map((name) => director[name] ?? 0));
  return {
    syns: all("packets"),
    keys: all("keys"),
    joins: all("fromCache", "fromRegistry", "fromPath", "fromMemory"),
    dropped: all("unknown", "unanswered", "overLimit", "ownerGone"),
  };
}

class Sender {
  readonly #packets: RawPackets;
  /** SYNs of each mix, so that each look-up is of a token that was not looked up yet. */
  #mixed = 0;
  #lookedUp = 0;

  constructor(packets: RawPackets) {
    this.#packets = packets;
  }

  /** Joins of these tokens, slowly enough for each to be looked up. */
  async warm(tokens: readonly number[]): Promise<void> {
    for (const [index, token] of tokens.entries()) {
      this.#packets.send({ sourcePort: 1024 + index, flags: TCP_FLAG.syn, options: joinOption(token) });
      if (index % 10 === 9) await sleep(10);
    }
  }

  /** Sends `kinds` of packets, each `rate` times a second. Third ACKs are those of flows that a flood of SYNs has made. */
  async flood(rate: number, kinds: readonly Kind[], floodSeconds: number): Promise<number> {
    const startMs = performance.now();
    let sent = 0;
    for (let seconds = 0; seconds < floodSeconds; seconds = (performance.now() - startMs) / 1000) {
      for (; sent < seconds * rate; sent++) for (const kind of kinds) this.#send(kind, sent);
      await sleep(1);
    }
    return sent;
  }

  #send(kind: Kind, index: number): void {
    const sourcePort = 1024 + (index % FLOOD_PORTS);
    if (kind === "key") {
      const key = new Uint8Array(8);
      writeUint32(key, 0, index);
      this.#packets.send({ sourcePort, flags: TCP_FLAG.ack, options: keysOption(key) });
    } else if (kind === "syn") {
      this.#packets.send({ sourcePort, flags: TCP_FLAG.syn });
    } else {
      this.#packets.send({ sourcePort, flags: TCP_FLAG.syn, options: this.#nextOfMix() });
    }
  }

  #nextOfMix(): Uint8Array {
    const what = MIX[this.#mixed++ % MIX.length];
    if (what === "capable") return CAPABLE_OPTIONS;
    const token = what === "cached" ? FIRST_CACHED + (this.#mixed % CACHED_TOKENS) : FIRST_UNKNOWN + this.#lookedUp++;
    return concatBytes([USUAL_OPTIONS, joinOption(token)]);
  }

  close(): void {
    this.#packets.close();
  }
}
