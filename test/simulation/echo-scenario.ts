/** Random paths under the smallest endpoints: what is tested are links, middleboxes and the simulator itself. */
import { type Random, randomBelow, SeededRandom } from "@hybrid-access/core/base/random";
import type { PacketEndpoint } from "@hybrid-access/core/stack/endpoint";
import {
  describePaths,
  FAR_ADDRESSES,
  nearAddresses,
  randomPaths,
} from "@hybrid-access/core/testing/simulator/random-paths";
import { type PathPlan, Simulator } from "@hybrid-access/core/testing/simulator/simulator";
import { EchoClient, EchoServer } from "./echo-endpoints.ts";
import { runToRest } from "./run-to-rest.ts";
import type { Scenario, ScenarioRun } from "./scenario.ts";

const MOST_CHUNKS = 6;
const LARGEST_CHUNK = 1400;

export const ECHO_SCENARIO: Scenario = { name: "echo", run: runEcho };

function runEcho(seed: number, records: boolean): ScenarioRun {
  const random = new SeededRandom(seed);
  const paths = randomPaths(random, { near: "home", far: "gateway" });
  const clients = Object.keys(paths).flatMap((_, index) => clientsOf(index + 1, random));
  const hosts = { home: { endpoint: new EndpointGroup(clients) }, gateway: { endpoint: new EchoServer() } };
  const simulator = new Simulator({ hosts, paths, seed, records });
  const failure = judge(simulator, paths, clients);
  const outcomes = clients.map(({ outcome }) => outcome);
  return { simulator, describePaths: () => describePaths(paths), outcomes, failure };
}

/** One in IPv4 and one in IPv6. */
function clientsOf(path: number, random: Random): EchoClient[] {
  const { ipv4, ipv6 } = nearAddresses(path);
  return [
    new EchoClient(ipv4, FAR_ADDRESSES.ipv4, randomChunks(random)),
    new EchoClient(ipv6, FAR_ADDRESSES.ipv6, randomChunks(random)),
  ];
}

/** Bytes above 0x7f, which payload modifiers leave alone. */
function randomChunks(random: Random): Uint8Array[] {
  return Array.from({ length: 1 + randomBelow(random, MOST_CHUNKS) }, () => {
    const [length, first] = [1 + randomBelow(random, LARGEST_CHUNK), randomBelow(random, 0x80)];
    return new Uint8Array(length).map((_, index) => 0x80 | (first + 5 * index));
  });
}

function judge(
  simulator: Simulator,
  paths: Readonly<Record<string, PathPlan>>,
  clients: readonly EchoClient[],
): string | undefined {
  const unrest = runToRest(simulator);
  if (unrest !== undefined) return unrest;
  if (simulator.counters.unroutedPackets > 0) return "a packet had no route";
  for (const [index, { outcome }] of clients.entries()) {
    const plan = paths[`path${1 + Math.floor(index / 2)}`];
    const mayFail = plan?.boxes?.some(({ box }) => box === "mtuLimit") ?? true;
    if (outcome !== "complete" && !(outcome === "gaveUp" && mayFail)) return `client ${index} is ${outcome}`;
  }
  return undefined;
}

/** Several endpoints as those of one host: each packet is shown to all. */
class EndpointGroup implements PacketEndpoint {
  readonly #members: readonly PacketEndpoint[];

  constructor(members: readonly PacketEndpoint[]) {
    this.#members = members;
  }

  onPacket(nowMs: number, packet: Uint8Array): void {
    for (const member of this.#members) member.onPacket(nowMs, packet);
  }

  onTimeout(nowMs: number): void {
    for (const member of this.#members) member.onTimeout(nowMs);
  }

  pollTransmit(nowMs: number): Uint8Array | undefined {
    for (const member of this.#members) {
      const packet = member.pollTransmit(nowMs);
      if (packet !== undefined) return packet;
    }
    return undefined;
  }

  pollTimeout(): number | undefined {
    const times = this.#members.flatMap((member) => member.pollTimeout() ?? []);
    return times.length === 0 ? undefined : Math.min(...times);
  }
}
