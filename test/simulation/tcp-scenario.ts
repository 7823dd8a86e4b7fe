/** TCP connections over random paths: every byte once and in order, or a reset; and then nothing is left. */
import { type Random, randomBelow, SeededRandom } from "@hybrid-access/core/base/random";
import { CUBIC } from "@hybrid-access/core/policy/congestion/cubic";
import { NEW_RENO } from "@hybrid-access/core/policy/congestion/new-reno";
import type { TcpConnection } from "@hybrid-access/core/stack/tcp/connection";
import { DEFAULT_TCP_SETTINGS, type TcpSettings } from "@hybrid-access/core/stack/tcp/settings";
import {
  describePaths,
  FAR_ADDRESSES,
  nearAddresses,
  randomPaths,
} from "@hybrid-access/core/testing/simulator/random-paths";
import { LivelockError, Simulator } from "@hybrid-access/core/testing/simulator/simulator";
import type { Scenario, ScenarioRun } from "./scenario.ts";
import { randomStream, StreamUser } from "./stream-user.ts";
import { TcpHost } from "./tcp-host.ts";

/** Longer than every timer: giving up, TIME-WAIT, keepalives. */
const LONGEST_MS = 4 * 3_600_000;
const FIRST_SERVER_PORT = 1000;

export const TCP_SCENARIO: Scenario = { name: "tcp", run: runTcp };

/** Both ends of one connection. */
interface Flow {
  readonly client: StreamUser;
  readonly server: StreamUser;
}

function runTcp(seed: number, records: boolean): ScenarioRun {
  const random = new SeededRandom(seed);
  const paths = randomPaths(random, { near: "home", far: "gateway" });
  const flows: Flow[] = [];
  const nextInitialSequence = () => randomBelow(random, 2) * 0xffff_0000 + randomBelow(random, 0x10000);
  const home = new TcpHost({ settings: randomSettings(random), nextInitialSequence });
  // The port of the server says which flow it is: a NAT changes everything else.
  const onAccepted = (connection: TcpConnection) => adopt(flows, connection);
  const gateway = new TcpHost({ settings: randomSettings(random), nextInitialSequence, onAccepted });
  const hosts = {
    home: { endpoint: home, application: () => proceed(flows.map(({ client }) => client)) },
    gateway: { endpoint: gateway, application: () => proceed(flows.map(({ server }) => server)) },
  };
  const simulator = new Simulator({ hosts, paths, seed, records });
  for (const index of Object.keys(paths).keys()) openFlows(flows, home, index + 1, random);
  const failure = judge(simulator, flows, [home, gateway]);
  const outcomes = flows.map(({ client }) => client.connection?.closeReason ?? "open");
  return { simulator, describePaths: () => describePaths(paths), outcomes, failure };
}

function proceed(users: readonly StreamUser[]): void {
  for (const user of users) user.proceed();
}

function randomSettings(random: Random): TcpSettings {
  const one = <Value>(values: readonly [Value, ...Value[]]) => values[randomBelow(random, values.length)] ?? values[0];
  return {
    ...DEFAULT_TCP_SETTINGS,
    maximumSegmentBytes: one([536, 1380, 1440]),
    receiveBufferBytes: one([3000, 65_535, 1_000_000]),
    sendBufferBytes: one([3000, 1_000_000]),
    timestamps: random.next() < 0.8,
    selectiveAcknowledgements: random.next() < 0.8,
    congestion: one([CUBIC, NEW_RENO]),
    // A reset that is lost on an idle connection is found out by nothing else.
    keepaliveMs: 60_000,
  };
}

/** One connection of each family over a path. */
function openFlows(flows: Flow[], home: TcpHost, path: number, random: Random): void {
  const addresses = nearAddresses(path);
  for (const family of ["ipv4", "ipv6"] as const) {
    const [up, down] = [randomStream(random), randomStream(random)];
    const flow = { client: new StreamUser(up, down), server: new StreamUser(down, up) };
    const port = FIRST_SERVER_PORT + flows.length;
    const remote = { address: FAR_ADDRESSES[family], port };
    flow.client.connection = home.connect(0, { address: addresses[family], port: 40_000 }, remote);
    flows.push(flow);
  }
}

/** A SYN that comes again after its connection is over makes another one, which nobody uses: it is aborted. */
function adopt(flows: readonly Flow[], connection: TcpConnection): void {
  const server = flows[connection.local.port - FIRST_SERVER_PORT]?.server;
  if (server === undefined || server.connection !== undefined) connection.reset();
  else server.connection = connection;
}

function judge(simulator: Simulator, flows: readonly Flow[], hosts: readonly TcpHost[]): string | undefined {
  try {
    if (simulator.run({ untilMs: LONGEST_MS }) !== "idle") return `something still happens: ${states(hosts)}`;
  } catch (error) {
    if (error instanceof LivelockError) return `${error.message}: ${states(hosts)}`;
    throw error;
  }
  for (const [index, { client, server }] of flows.entries()) {
    const fault = client.fault() ?? server.fault();
    if (fault !== undefined) return `flow ${index}, ${client.fault() === undefined ? "server" : "client"}: ${fault}`;
  }
  return hosts.some(({ connections }) => connections.size > 0) ? `left behind: ${states(hosts)}` : undefined;
}

function states(hosts: readonly TcpHost[]): string {
  return hosts
    .flatMap(({ connections }) => Array.from(connections.values(), ({ state, local }) => `${state} ${local.port}`))
    .join(", ");
}
