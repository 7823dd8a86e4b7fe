/**
 * Senders that all have something to send for as long as a run lasts, over lines that some of them share: what each one
 * gets, in virtual time.
 */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { randomBelow, SeededRandom } from "@hybrid-access/core/base/random";
import { PLATFORM_HASHES } from "@hybrid-access/core/platform/hashes";
import type { CongestionAlgorithm } from "@hybrid-access/core/policy/congestion/congestion";
import { StackHost } from "@hybrid-access/core/stack/host";
import type { Listener } from "@hybrid-access/core/stack/listener";
import type { MptcpConnection } from "@hybrid-access/core/stack/mptcp/connection";
import { DEFAULT_MPTCP_SETTINGS } from "@hybrid-access/core/stack/mptcp/settings";
import type { LinkOptions } from "@hybrid-access/core/testing/link";
import { Simulator } from "@hybrid-access/core/testing/simulator/simulator";
import { SharedEndpoint } from "./shared-endpoint.ts";

/** One direction that queues, the other does not. */
export interface Line {
  readonly rateBitsPerSecond: number;
  readonly roundTripMs: number;
  readonly queueBytes: number;
  readonly jitterMs?: number;
  readonly loss?: number;
}

/** One connection; with several lines (the same one may be named twice) it is Multipath TCP with a subflow over each. */
export interface Sender {
  readonly congestion: CongestionAlgorithm;
  /** By their places in the contest. */
  readonly lines: readonly number[];
  /** When it begins; at a random time within the first second if left out. */
  readonly fromMs?: number;
  /** When it has nothing more to send. */
  readonly untilMs?: number;
}

export interface ContestPlan {
  readonly lines: readonly Line[];
  readonly senders: readonly Sender[];
  readonly seed: number;
}

const SERVER = ipAddress("203.0.113.1");
const FIRST_PORT = 1000;
const BUFFER_BYTES = 1_000_000;
const CHUNK = new Uint8Array(16_384);
const MTU_BYTES = 1500;

/** A sender in a run. */
interface Contestant {
  readonly sender: Sender;
  readonly fromMs: number;
  readonly host: StackHost;
  readonly addresses: readonly ReturnType<typeof ipAddress>[];
  readonly listener: Listener;
  readonly port: number;
  connection: MptcpConnection | undefined;
  arrived: MptcpConnection | undefined;
  receivedBytes: number;
}

export class Contest {
  readonly simulator: Simulator;
  readonly #contestants: readonly Contestant[];
  readonly #random: SeededRandom;
  readonly #sink = new Uint8Array(1 << 20);

  constructor({ lines, senders, seed }: ContestPlan) {
    this.#random = new SeededRandom(seed);
    const server = new StackHost({ ...this.#hostOptions(), settings: DEFAULT_MPTCP_SETTINGS });
    const near = new SharedEndpoint();
    this.#contestants = senders.map((sender, index) => this.#contestant(sender, index, server, near));
    const paths = lines.map((line, number) => {
      const addresses = this.#contestants.flatMap(({ sender, addresses: own }) =>
        own.filter((_, subflow) => sender.lines[subflow] === number),
      );
      const ends = { near: { host: "near", addresses }, far: { host: "far", addresses: [SERVER] } };
      return [`line${number}`, { ...ends, ...linksOf(line) }] as const;
    });
    const hosts = {
      near: { endpoint: near, application: (nowMs: number) => this.#send(nowMs) },
      far: { endpoint: server, application: () => this.#receive() },
    };
    this.simulator = new Simulator({ hosts, paths: Object.fromEntries(paths), seed });
    for (const contestant of this.#contestants) {
      this.simulator.at(contestant.fromMs, () => connect(contestant, this.simulator.nowMs));
    }
  }

  #hostOptions() {
    const random = this.#random;
    const randomBytes = (length: number) => Uint8Array.from({ length }, () => randomBelow(random, 0x100));
    return { ports: { hashes: PLATFORM_HASHES, randomBytes }, mtuBytes: MTU_BYTES, mostConnections: 100 };
  }

  #contestant(sender: Sender, index: number, server: StackHost, near: SharedEndpoint): Contestant {
    const { congestion, lines, fromMs = 1000 * this.#random.next() } = sender;
    const { tcp } = DEFAULT_MPTCP_SETTINGS;
    const buffers = { sendBufferBytes: BUFFER_BYTES, receiveBufferBytes: BUFFER_BYTES };
    const settings = { ...DEFAULT_MPTCP_SETTINGS, tcp: { ...tcp, ...buffers, congestion } };
    const host = new StackHost({ ...this.#hostOptions(), settings });
    const addresses = lines.map((_, subflow) => ipAddress(`10.${index}.${subflow}.2`));
    near.add(host, addresses);
    const port = FIRST_PORT + index;
    const listener = server.listen(port, { multipath: lines.length > 1 });
    const parts = { connection: undefined, arrived: undefined, receivedBytes: 0 };
    return { sender, fromMs, host, addresses, listener, port, ...parts };
  }

  #send(nowMs: number): void {
    for (const { connection, host, addresses, sender } of this.#contestants) {
      if (connection === undefined || nowMs > (sender.untilMs ?? Number.POSITIVE_INFINITY)) continue;
      while (connection.write(CHUNK, nowMs) === CHUNK.length);
      const opened = connection.subflows.length;
      const address = addresses[opened];
      const remote = connection.subflows[0]?.tcp.remote;
      if (address === undefined || remote === undefined) continue;
      host.join(connection, { remote, localAddressId: opened, remoteAddressId: 0, backup: false }, address, nowMs);
    }
  }

  #receive(): void {
    for (const contestant of this.#contestants) {
      contestant.arrived ??= contestant.listener.accept();
      const { arrived } = contestant;
      if (arrived === undefined) continue;
      for (let length = arrived.read(this.#sink); length > 0; length = arrived.read(this.#sink)) {
        contestant.receivedBytes += length;
      }
    }
  }

  /** Lets time pass until then. */
  run(untilMs: number): void {
    this.simulator.run({ untilMs });
  }

  /** Bytes that every sender's peer has got in order. */
  get receivedBytes(): readonly number[] {
    return this.#contestants.map(({ receivedBytes }) => receivedBytes);
  }

  /** Bytes that every subflow of a sender has had acknowledged. */
  subflowBytes(sender: number): readonly number[] {
    return this.#contestants[sender]?.connection?.subflows.map(({ tcp }) => tcp.sender.acknowledged) ?? [];
  }

  /** Mbit/s of every sender from one time to another. */
  measure(fromMs: number, untilMs: number): readonly number[] {
    this.run(fromMs);
    const before = this.receivedBytes;
    this.run(untilMs);
    return this.receivedBytes.map((bytes, index) => (8 * (bytes - (before[index] ?? 0))) / (untilMs - fromMs) / 1000);
  }
}

function connect(contestant: Contestant, nowMs: number): void {
  const { host, addresses, port, sender } = contestant;
  const [address] = addresses;
  if (address === undefined) return;
  const multipath = sender.lines.length > 1;
  contestant.connection = host.connect(address, { address: SERVER, port }, nowMs, { multipath });
}

/** Acknowledgements come back without waiting. */
function linksOf({ rateBitsPerSecond, roundTripMs, queueBytes, jitterMs = 0, loss = 0 }: Line) {
  const delayMs = roundTripMs / 2;
  const forward: LinkOptions = { rateBitsPerSecond, queueBytes, delayMs, jitterMs, loss };
  return { forward, backward: { delayMs } satisfies LinkOptions };
}
