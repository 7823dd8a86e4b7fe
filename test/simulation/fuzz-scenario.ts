/**
 * Connections whose segments are changed on the way (segment-mutator.ts), and one beside them that nobody touches.
 * Nothing can be said of the former's bytes; but no segment may stop a host, keep it busy for ever, have it keep more
 * than its bounds, or harm the connection beside. In the end all are reset, and nothing is left.
 */
import { type Random, randomBelow, SeededRandom } from "@hybrid-access/core/base/random";
import { PLATFORM_HASHES } from "@hybrid-access/core/platform/hashes";
import type { PacketEndpoint } from "@hybrid-access/core/stack/endpoint";
import { StackHost } from "@hybrid-access/core/stack/host";
import type { Listener } from "@hybrid-access/core/stack/listener";
import type { MptcpConnection } from "@hybrid-access/core/stack/mptcp/connection";
import { DEFAULT_MPTCP_SETTINGS, type MptcpSettings } from "@hybrid-access/core/stack/mptcp/settings";
import { MOST_RANGES } from "@hybrid-access/core/stack/tcp/sent-queue";
import { FAR_ADDRESSES, nearAddresses } from "@hybrid-access/core/testing/simulator/random-paths";
import { type PathPlan, Simulator } from "@hybrid-access/core/testing/simulator/simulator";
import { chance, oneOf, randomTcpSettings } from "./random-choice.ts";
import { runToRest } from "./run-to-rest.ts";
import type { Scenario, ScenarioRun } from "./scenario.ts";
import { mutate } from "./segment-mutator.ts";
import { type Flow, randomFlow } from "./stream-user.ts";

const PATHS = 2;
const FUZZED_FLOWS = 8;
const FIRST_PORT = 1000;
const MOST_CONNECTIONS = 64;
/** Segments are changed, and connections used, until then. */
const END_MS = 60_000;
/** Connections and further subflows are opened until then. */
const OPENING_MS = 3000;
const MOST_JOINS = 12;
/** With checksums a mapping waits until all of it is there (RFC 8684 section 3.3.1). */
const LONGEST_MAPPING_BYTES = 0xffff;
/** Of a host, to be sent again. */
const PACKETS_KEPT = 32;

export const FUZZ_SCENARIO: Scenario = { name: "fuzz", run: runFuzz };

function runFuzz(seed: number, records: boolean): ScenarioRun {
  return new FuzzWorld(seed, records).run();
}

/** A host whose packets in IPv4 are changed as they leave: instead of the real one, before it or after it. */
class MutatingEndpoint implements PacketEndpoint {
  readonly counts: Record<string, number> = {};
  readonly #host: StackHost;
  readonly #random: Random;
  readonly #share: number;
  readonly #waiting: Uint8Array[] = [];
  readonly #past: Uint8Array[] = [];

  constructor(host: StackHost, random: Random, share: number) {
    this.#host = host;
    this.#random = random;
    this.#share = share;
  }

  onPacket(nowMs: number, packet: Uint8Array): void {
    this.#host.onPacket(nowMs, packet);
  }

  onTimeout(nowMs: number): void {
    this.#host.onTimeout(nowMs);
  }

  pollTimeout(): number | undefined {
    return this.#host.pollTimeout();
  }

  pollTransmit(nowMs: number): Uint8Array | undefined {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) return waiting;
    const packet = this.#host.pollTransmit(nowMs);
    if (packet === undefined || nowMs > END_MS || !chance(this.#random, this.#share)) return packet;
    return this.#pass(packet);
  }

  #pass(packet: Uint8Array): Uint8Array {
    const chosen = chance(this.#random, 0.8) ? packet : this.#past[randomBelow(this.#random, this.#past.length)];
    const mutated = mutate(this.#random, chosen ?? packet);
    if (mutated === undefined) return packet;
    this.counts[mutated.mutation] = (this.counts[mutated.mutation] ?? 0) + 1;
    this.#past[randomBelow(this.#random, PACKETS_KEPT)] ??= packet.slice();
    switch (randomBelow(this.#random, 4)) {
      case 0:
        return mutated.packet;
      case 1:
        this.#waiting.push(mutated.packet);
        return packet;
      default:
        this.#waiting.push(packet);
        return mutated.packet;
    }
  }
}

class FuzzWorld {
  readonly #random: Random;
  readonly #simulator: Simulator;
  readonly #home: StackHost;
  readonly #gateway: StackHost;
  readonly #endpoints: readonly MutatingEndpoint[];
  readonly #settings: Readonly<Record<"home" | "gateway", MptcpSettings>>;
  readonly #flows: Flow[] = [];
  readonly #listeners: Listener[] = [];
  readonly #strays = new Set<MptcpConnection>();
  #fault: string | undefined;

  constructor(seed: number, records: boolean) {
    this.#random = new SeededRandom(seed);
    const version = chance(this.#random, 0.3) ? 0 : 1;
    const settings = () => randomSettings(this.#random, version);
    this.#settings = { home: settings(), gateway: settings() };
    this.#home = makeHost(this.#random, this.#settings.home);
    this.#gateway = makeHost(this.#random, this.#settings.gateway);
    const share = oneOf(this.#random, [0.05, 0.2, 0.5]);
    this.#endpoints = [this.#home, this.#gateway].map((host) => new MutatingEndpoint(host, this.#random, share));
    const [home, gateway] = this.#endpoints as [MutatingEndpoint, MutatingEndpoint];
    const hosts = {
      home: { endpoint: home, application: (nowMs: number) => this.#useClients(nowMs) },
      gateway: { endpoint: gateway, application: (nowMs: number) => this.#useServers(nowMs) },
    };
    this.#simulator = new Simulator({ hosts, paths: makePaths(this.#random), seed, records });
  }

  run(): ScenarioRun {
    for (let index = 0; index < FUZZED_FLOWS; index++)
      this.#open("ipv4", chance(this.#random, 0.8), OPENING_MS * this.#random.next());
    this.#open("ipv6", chance(this.#random, 0.5), 0);
    const joins = randomBelow(this.#random, MOST_JOINS);
    for (let count = 0; count < joins; count++)
      this.#simulator.at(OPENING_MS * this.#random.next(), () => this.#join());
    this.#simulator.at(END_MS, () => this.#resetAll());
    const failure = runToRest(this.#simulator) ?? this.#fault ?? this.#harmed() ?? this.#leftBehind();
    return {
      simulator: this.#simulator,
      describePaths: () => `${PATHS} paths without middleboxes`,
      outcomes: this.#flows.map(({ client }) => client.outcome),
      counts: this.#counts(),
      failure,
    };
  }

  #open(family: "ipv4" | "ipv6", multipath: boolean, atMs: number): void {
    const flow = randomFlow(this.#random);
    const port = FIRST_PORT + this.#flows.length;
    this.#listeners.push(this.#gateway.listen(port, { multipath }));
    const local = nearAddresses(1 + randomBelow(this.#random, PATHS))[family];
    this.#simulator.at(atMs, () => {
      flow.client.connection = this.#home.connect(local, { address: FAR_ADDRESSES[family], port }, atMs, { multipath });
    });
    this.#flows.push(flow);
  }

  /** A further subflow of one of the connections whose segments are changed; it may be refused. */
  #join(): void {
    const { connection } = this.#flows[randomBelow(this.#random, FUZZED_FLOWS)]?.client ?? {};
    const port = connection?.subflows[0]?.tcp.remote.port;
    if (connection === undefined || port === undefined) return;
    const number = 1 + randomBelow(this.#random, PATHS);
    const path = {
      remote: { address: FAR_ADDRESSES.ipv4, port },
      localAddressId: number,
      remoteAddressId: 0,
      backup: chance(this.#random, 0.2),
    };
    this.#home.join(connection, path, nearAddresses(number).ipv4, this.#simulator.nowMs);
  }

  #useClients(nowMs: number): void {
    for (const { client } of this.#flows) {
      client.proceed(nowMs);
      this.#check("home", client.connection);
    }
    this.#checkSize("home", this.#home);
  }

  #useServers(nowMs: number): void {
    for (const [index, { server }] of this.#flows.entries()) {
      const listener = this.#listeners[index];
      for (let made = listener?.accept(); made !== undefined; made = listener?.accept()) {
        if (server.connection === undefined) server.connection = made;
        else this.#strays.add(made);
      }
      server.proceed(nowMs);
      this.#check("gateway", server.connection);
    }
    for (const stray of this.#strays) this.#check("gateway", stray);
    this.#checkSize("gateway", this.#gateway);
  }

  /** All but the one that nobody touches, which is to come to its end. */
  #resetAll(): void {
    const fuzzed = this.#flows.slice(0, FUZZED_FLOWS);
    const users = fuzzed.flatMap(({ client, server }) => [client.connection, server.connection]);
    for (const connection of [...users, ...this.#strays]) {
      if (connection?.closeReason === undefined) connection?.reset(this.#simulator.nowMs);
    }
  }

  #check(host: "home" | "gateway", connection: MptcpConnection | undefined): void {
    const excess = connection && excessOf(connection, this.#settings[host]);
    if (excess !== undefined) this.#fault ??= `${host}, at ${this.#simulator.nowMs} ms: ${excess}`;
  }

  #checkSize(name: string, { size }: StackHost): void {
    if (size > MOST_CONNECTIONS) this.#fault ??= `${name} has ${size} connections`;
  }

  /** The connection that nobody touches must have arrived as it was sent. */
  #harmed(): string | undefined {
    const { client, server } = this.#flows[FUZZED_FLOWS] ?? {};
    const fault = client?.fault() ?? server?.fault();
    return fault === undefined ? undefined : `the connection beside: ${fault}`;
  }

  #leftBehind(): string | undefined {
    const [home, gateway] = [this.#home.size, this.#gateway.size];
    return home + gateway > 0 ? `connections left behind: ${home} at home, ${gateway} at the gateway` : undefined;
  }

  #counts(): Record<string, number> {
    const counts: Record<string, number> = { mutated: 0 };
    const add = (name: string, count: number) => {
      counts[name] = (counts[name] ?? 0) + count;
    };
    for (const { counts: made } of this.#endpoints) {
      for (const [mutation, count] of Object.entries(made)) {
        add("mutated", count);
        add(`mutated: ${mutation}`, count);
      }
    }
    for (const { refusals } of [this.#home, this.#gateway]) {
      for (const [reason, count] of refusals) add(`refused: ${reason}`, count);
    }
    for (const { client, server } of this.#flows) {
      for (const user of [client, server]) {
        for (const [reason, count] of Object.entries(user.connection?.parts.counters ?? {})) {
          add(`refused: ${reason}`, count);
        }
      }
    }
    return counts;
  }
}

/** What a connection keeps beyond its bounds (docs/limits.md), or undefined. */
function excessOf(connection: MptcpConnection, { tcp, mostSubflows }: MptcpSettings): string | undefined {
  const { sender, receiver } = connection.parts.session;
  const kept: (readonly [what: string, bytes: number, most: number])[] = [
    ["subflows", connection.subflows.length, mostSubflows],
    ["bytes to be acknowledged", sender.bufferedBytes, tcp.sendBufferBytes],
    ["bytes to be read", receiver.readableBytes, 2 * tcp.receiveBufferBytes],
    ["bytes out of order", receiver.outOfOrderBytes, 3 * tcp.receiveBufferBytes],
    ...connection.subflows.flatMap(({ tcp: { memory, sender: own } }) => [
      ["bytes of a subflow to be acknowledged", memory.unacknowledgedBytes, tcp.sendBufferBytes] as const,
      ["bytes of a subflow to be read", memory.readableBytes, tcp.receiveBufferBytes + LONGEST_MAPPING_BYTES] as const,
      ["bytes of a subflow out of order", memory.outOfOrderBytes, 4 * tcp.receiveBufferBytes] as const,
      ["ranges of a subflow in flight", own.recovery.sent.count, 2 * MOST_RANGES] as const,
    ]),
  ];
  const excess = kept.find(([, bytes, most]) => bytes > most);
  return excess && `${excess[1]} ${excess[0]}, of at most ${excess[2]}`;
}

function randomSettings(random: Random, version: MptcpSettings["version"]): MptcpSettings {
  return {
    ...DEFAULT_MPTCP_SETTINGS,
    tcp: randomTcpSettings(random),
    version,
    checksum: chance(random, 0.5),
    longDataNumbers: chance(random, 0.5),
    mostSubflows: oneOf(random, [2, 8]),
  };
}

function makeHost(random: Random, settings: MptcpSettings): StackHost {
  const randomBytes = (length: number) => Uint8Array.from({ length }, () => randomBelow(random, 0x100));
  const ports = { hashes: PLATFORM_HASHES, randomBytes };
  return new StackHost({ settings, ports, mtuBytes: 1500, mostConnections: MOST_CONNECTIONS });
}

function makePaths(random: Random): Readonly<Record<string, PathPlan>> {
  const paths: Record<string, PathPlan> = {};
  for (let number = 1; number <= PATHS; number++) {
    const { ipv4, ipv6 } = nearAddresses(number);
    const link = () => ({ delayMs: 1 + randomBelow(random, 30), loss: oneOf(random, [0, 0.01]) });
    paths[`path${number}`] = {
      near: { host: "home", addresses: [ipv4, ipv6] },
      far: { host: "gateway", addresses: [FAR_ADDRESSES.ipv4, FAR_ADDRESSES.ipv6] },
      forward: link(),
      backward: link(),
    };
  }
  return paths;
}
