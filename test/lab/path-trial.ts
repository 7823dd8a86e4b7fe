/** Trials of subflow policies in the lab: the measuring that the tests and the benchmark share. */
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { askDaemon } from "@hybrid-access/core/services/admin";
import type { ConnectionView, SubflowView } from "@hybrid-access/hcpe/views";
import { examplePolicy } from "../support/example-policy.ts";
import { ADDRESS, DEFAULT_ACCESS } from "./hybrid.ts";
import { LinkMeter } from "./link-meter.ts";
import { PacedStream } from "./paced-stream.ts";
import { HCPE_CONFIG, Pair } from "./pair.ts";
import { StreamServer } from "./stream.ts";
import { type TcpCount, TcpMeter } from "./tcp-meter.ts";
import type { TransferDirection } from "./transfer.ts";
import { until } from "./until.ts";
import { linkRate } from "./uplinks.ts";

const PORT = 7100;

/** hcpe.yaml with this policy; the DSL line's rate is configured. */
export function policyConfig(policy: string, more = ""): string {
  const rated = HCPE_CONFIG.replace("cost: 0", "cost: 0, rate: { down: 20mbit, up: 5mbit }");
  return `${rated.replace("policy: aggregate", `policy: ${policy}`)}${more}`;
}

/** The same without the DSL line's rate. */
export function unratedConfig(policy: string): string {
  return HCPE_CONFIG.replace("policy: aggregate", `policy: ${policy}`);
}

/** What policies are told that need more than their name. */
function tellPolicy(policy: string, pair: Pair): string {
  if (policy === "pairs") return PAIRS;
  if (policy !== "module") return "";
  const file = pair.file("example-policy.mjs");
  writeFileSync(file, examplePolicy());
  return `policyModule: ${file}\n`;
}

const PAIRS = `pairs:
  - { local: 10.1.1.0/24, remote: ${ADDRESS.gateway}, onFailure: any }
  - { local: 10.1.2.0/24, remote: ${ADDRESS.gateway}, onFailure: none }
`;

/** Behind the DSL line: no flow gets more than this, as where flows are spread over parallel links by their ports. */
const PER_FLOW_LIMIT = `table ip per_flow {
  set flows { type ipv4_addr . inet_service; flags dynamic; timeout 1m; }
  chain forward {
    type filter hook forward priority filter;
    iifname "core" tcp sport 5124 update @flows { ip daddr . tcp dport limit rate over 700 kbytes/second burst 60 kbytes } drop
  }
}
`;

/** How the DSL line fails. */
export type Failure = "link down" | "silence";

export class PathTrial {
  readonly pair: Pair;
  readonly lteMeter: TcpMeter;
  readonly #server: StreamServer;
  readonly #streams: PacedStream[] = [];

  private constructor(pair: Pair, lteMeter: TcpMeter) {
    this.pair = pair;
    this.lteMeter = lteMeter;
    this.#server = new StreamServer(pair.lab, "srv", PORT);
  }

  /** Builds the lab. */
  static async up(policy: string): Promise<PathTrial> {
    return await PathTrial.around(await Pair.up({ hcpe: policyConfig(policy) }));
  }

  /** In a lab that is there; its HCPE has the configuration of {@link policyConfig}. */
  static async around(pair: Pair): Promise<PathTrial> {
    return new PathTrial(pair, await TcpMeter.on(pair.lab, "rlte"));
  }

  /** Frees what is the trial's own; the lab stays. */
  async close(): Promise<void> {
    this.abandonStreams();
    await this.#server.close();
  }

  async down(): Promise<void> {
    await this.close();
    await this.pair.down();
  }

  /** Reloads the HCPE with another policy, and waits until it says so. */
  async usePolicy(policy: string, more = ""): Promise<void> {
    const hcpe = this.pair.daemon("hcpe");
    const reloads = () => hcpe.log().split('"msg":"reloaded"').length - 1;
    const before = reloads();
    this.pair.writeConfig("hcpe", policyConfig(policy, more));
    hcpe.process.kill("SIGHUP");
    await until(() => reloads() > before, { what: `the HCPE reloads for ${policy}`, limitMs: 5000 });
  }

  async stream(direction: TransferDirection, demandBitsPerSecond = Number.POSITIVE_INFINITY): Promise<PacedStream> {
    const stream = await PacedStream.open(this.pair, this.#server, PORT, direction, demandBitsPerSecond);
    this.#streams.push(stream);
    return stream;
  }

  /** Ends what a test that failed has left running. */
  abandonStreams(): void {
    for (const stream of this.#streams.splice(0)) stream.abandon();
  }

  /** The DSL line fails, or comes back. */
  async setDsl(failure: Failure, works: boolean): Promise<void> {
    const { lab } = this.pair;
    if (failure === "link down") return await lab.setCarrier("dsl", works);
    await lab.configureLink("dsl", "forward", works ? DEFAULT_ACCESS.dsl.up : { loss: 1 });
    await lab.configureLink("dsl", "backward", works ? DEFAULT_ACCESS.dsl.down : { loss: 1 });
  }

  /** Waits until no uplink is taken for silent or degraded any more, as one may be after a line that was full or down: at least 10 s. */
  async untilGood(): Promise<void> {
    const socket = this.pair.file("hcpe/admin.sock");
    // Asked at the socket: the configuration on disk may be one that was refused.
    const states = async () => {
      const { uplinks } = (await askDaemon(socket, "/paths")) as { uplinks: readonly { readonly state: string }[] };
      return uplinks.map(({ state }) => state);
    };
    const areHeard = async () => {
      const { uplinks } = (await askDaemon(socket, "/status")) as { uplinks: readonly { readonly silent: string[] }[] };
      return uplinks.every(({ silent }) => silent.length === 0);
    };
    const areGood = async () => (await states()).every((state) => state === "up") && (await areHeard());
    await until(areGood, { what: "every uplink is up and good", limitMs: 30_000 });
  }

  /** What the HCPE shows of the only connection. */
  async connection(): Promise<ConnectionView | undefined> {
    const socket = this.pair.file("hcpe/admin.sock");
    const { connections } = (await askDaemon(socket, "/connections")) as { connections: readonly ConnectionView[] };
    return connections[0];
  }

  async subflows(): Promise<readonly SubflowView[]> {
    return (await this.connection())?.subflows ?? [];
  }

  /** Payload in bits per second that one connection reaches, its slow start left out. */
  async goodput(direction: TransferDirection, seconds: number): Promise<number> {
    const stream = await this.stream(direction);
    try {
      await sleep(1000);
      const before = stream.receivedBytes;
      const beginMs = performance.now();
      await sleep(1000 * seconds);
      return ((stream.receivedBytes - before) * 8000) / (performance.now() - beginMs);
    } finally {
      stream.abandon();
    }
  }

  /** Download over a DSL network that limits each flow, with this many subflows between one pair of addresses. */
  async spread(subflows: number, seconds: number): Promise<number> {
    await this.usePolicy("ndiffports", `ndiffports: ${subflows}\n`);
    await this.pair.lab.run("rdsl", ["nft", "-f", "-"], { input: PER_FLOW_LIMIT });
    try {
      return await this.goodput("download", seconds);
    } finally {
      await this.pair.lab.run("rdsl", ["nft", "delete", "table", "ip", "per_flow"]);
    }
  }

  /** A stream over DSL, which fails in the middle of it. */
  async failover(direction: TransferDirection, failure: Failure, quietMs: number): Promise<Failover> {
    // Of a line that the trial before has made degraded, policies make no use.
    await this.untilGood();
    await this.lteMeter.quiet();
    // A little more than DSL can carry: it is full, and little has to be waited for at the end.
    const stream = await this.stream(direction, 1.1 * linkRate("dsl", direction));
    try {
      await sleep(500);
      const lte = await this.lteMeter.during(() => sleep(quietMs));
      stream.resetGap();
      await this.setDsl(failure, false);
      await sleep(2500);
      const stallSeconds = stream.longestGapSeconds;
      await this.setDsl(failure, true);
      await sleep(500);
      return { lte, stallSeconds, whole: await stream.finish() };
    } finally {
      stream.abandon();
      await this.setDsl(failure, true);
    }
  }

  /** Demand of 60 % of DSL, then all there is, then 60 % again. */
  async overflow(direction: TransferDirection, calmMs: number, fullMs: number): Promise<Overflow> {
    const dsl = linkRate("dsl", direction);
    const sum = linkRate("both", direction);
    await this.untilGood();
    await this.lteMeter.quiet();
    const stream = await this.stream(direction, 0.6 * dsl);
    try {
      await sleep(500);
      const calm = await this.lteMeter.during(() => sleep(calmMs));
      stream.demandBitsPerSecond = Number.POSITIVE_INFINITY;
      const joinSeconds = await this.#joinAfterFull(direction, dsl);
      await sleep(2000);
      const before = stream.receivedBytes;
      const beginMs = performance.now();
      await sleep(fullMs);
      const share = ((stream.receivedBytes - before) * 8000) / (performance.now() - beginMs) / sum;
      stream.demandBitsPerSecond = 0.6 * dsl;
      const leaveSeconds = await this.#leaveAfterCalm(direction, dsl);
      return { calm, joinSeconds, share, leaveSeconds, whole: await stream.finish() };
    } finally {
      stream.abandon();
    }
  }

  /** From DSL's being full (95 % of its rate over 100 ms) to payload on LTE. */
  async #joinAfterFull(direction: TransferDirection, dsl: number): Promise<number> {
    const meter = new LinkMeter(this.pair.lab, direction);
    await meter.rates();
    let fullMs: number | undefined;
    const before = await this.lteMeter.read();
    return await until(
      async () => {
        await sleep(100);
        const rates = await meter.rates();
        const nowMs = performance.now();
        if (rates.dsl >= 0.95 * dsl) fullMs ??= nowMs - 100;
        const { payloadBytes } = await this.lteMeter.read();
        return payloadBytes > before.payloadBytes ? (nowMs - (fullMs ?? nowMs)) / 1000 : undefined;
      },
      { what: "LTE joins", limitMs: 10_000, everyMs: 0 },
    );
  }

  /** From the moment when all that is carried would fit into DSL to the last payload on LTE. */
  async #leaveAfterCalm(direction: TransferDirection, dsl: number): Promise<number> {
    const meter = new LinkMeter(this.pair.lab, direction);
    await meter.rates();
    let calmMs: number | undefined;
    let lastMs = performance.now();
    let last = await this.lteMeter.read();
    await until(
      async () => {
        await sleep(100);
        const rates = await meter.rates();
        const nowMs = performance.now();
        if (rates.dsl + rates.lte < 0.8 * dsl) calmMs ??= nowMs - 100;
        const count = await this.lteMeter.read();
        if (count.payloadBytes > last.payloadBytes) lastMs = nowMs;
        last = count;
        return calmMs !== undefined && nowMs - lastMs > 1000;
      },
      { what: "LTE is left", limitMs: 20_000, everyMs: 0 },
    );
    return Math.max(0, lastMs - (calmMs ?? 0)) / 1000;
  }

  /** The policy changes again and again in the middle of a stream; the connection's own is looked at each time. */
  async reloads(policies: readonly string[], everyMs: number): Promise<Reloads> {
    const stream = await this.stream("download");
    const seen: (string | undefined)[] = [];
    try {
      for (const policy of policies) {
        await sleep(everyMs);
        await this.usePolicy(policy, tellPolicy(policy, this.pair));
        seen.push((await this.connection())?.policy ?? undefined);
      }
      await sleep(everyMs);
      return { seen, whole: await stream.finish() };
    } finally {
      stream.abandon();
    }
  }

  /**
   * The carriers of DSL and LTE go and come in turns, in the middle of a stream: each uplink's `count` times, once in
   * `everyMs`.
   */
  async flaps(count: number, everyMs: number): Promise<Flaps> {
    const stream = await this.stream("download");
    let mostSubflows = 0;
    const look = async () => {
      await sleep(everyMs / 4);
      mostSubflows = Math.max(mostSubflows, (await this.subflows()).length);
    };
    try {
      for (let flap = 0; flap < count; flap++) {
        for (const link of ["dsl", "lte"]) {
          await this.pair.lab.setCarrier(link, false);
          await look();
          await this.pair.lab.setCarrier(link, true);
          await look();
        }
      }
      return { mostSubflows, whole: await stream.finish() };
    } finally {
      stream.abandon();
    }
  }
}

export interface Reloads {
  /** The policy that the connection was under after each reload. */
  readonly seen: readonly (string | undefined)[];
  readonly whole: boolean;
}

export interface Flaps {
  /** Of the connection at once, as the kernel has them: what is being opened or closed included. */
  readonly mostSubflows: number;
  readonly whole: boolean;
}

export interface Failover {
  /** On LTE, while DSL worked. */
  readonly lte: TcpCount;
  readonly stallSeconds: number;
  readonly whole: boolean;
}

export interface Overflow {
  /** On LTE, at 60 % of DSL's rate. */
  readonly calm: TcpCount;
  readonly joinSeconds: number;
  /** Payload over the sum of the link rates. */
  readonly share: number;
  readonly leaveSeconds: number;
  readonly whole: boolean;
}
