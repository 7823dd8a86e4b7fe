/**
 * Multipath TCP over random paths that fail and come back, while subflows come and go: every byte once and in order, or a
 * reset; and then nothing is left.
 */
import { type Random, randomBelow } from "@hybrid-access/core/base/random";
import type { MptcpConnection } from "@hybrid-access/core/stack/mptcp/connection";
import { DEFAULT_MPTCP_SETTINGS, type MptcpSettings } from "@hybrid-access/core/stack/mptcp/settings";
import { FAR_ADDRESSES, nearAddresses } from "@hybrid-access/core/testing/simulator/random-paths";
import { chance, oneOf, randomTcpSettings } from "./random-choice.ts";
import type { Scenario, ScenarioRun } from "./scenario.ts";
import { addressIdOf, type Family, StackWorld } from "./stack-world.ts";

const MOST_CONNECTIONS = 3;
const MOST_JOINS = 5;
const MOST_INCIDENTS = 12;
/** Incidents happen within this time. */
const LIVELY_MS = 15_000;
/** An address that nobody has, to be announced. */
const NOWHERE = 9;

export const MPTCP_SCENARIO: Scenario = { name: "mptcp", run: runMptcp };

function runMptcp(seed: number, records: boolean): ScenarioRun {
  const version = seed % 3 === 0 ? 0 : 1;
  const makeSettings = (random: Random) => randomSettings(random, version);
  const wanted = new Map<MptcpConnection, number>();
  const manage = (world: StackWorld) => joinWanted(world, wanted);
  const world = new StackWorld({ seed, records, multipath: true, makeSettings, manage });
  const connections = 1 + randomBelow(world.random, MOST_CONNECTIONS);
  for (let count = 0; count < connections; count++) world.open(randomPath(world), randomFamily(world));
  const incidents = randomBelow(world.random, MOST_INCIDENTS);
  for (let count = 0; count < incidents; count++) planIncident(world);
  return world.finish();
}

function randomSettings(random: Random, version: MptcpSettings["version"]): MptcpSettings {
  return {
    ...DEFAULT_MPTCP_SETTINGS,
    tcp: randomTcpSettings(random),
    version,
    checksum: chance(random, 0.5),
    longDataNumbers: chance(random, 0.5),
    mostSubflows: oneOf(random, [1, 2, 8, 8]),
  };
}

/** Paths have numbers from 1. */
function randomPath({ random, paths }: StackWorld): number {
  return 1 + randomBelow(random, Object.keys(paths).length);
}

function randomFamily({ random }: StackWorld): Family {
  return oneOf(random, ["ipv4", "ipv6"]);
}

type Incident = (world: StackWorld, connection: MptcpConnection) => unknown;

/** What a path manager and the world do meanwhile. */
const INCIDENTS: readonly Incident[] = [
  join,
  join,
  join,
  join,
  closeOne,
  reprioritise,
  removeAddress,
  announce,
  cutPath,
];

/** Of a connection that is not over by then. */
function planIncident(world: StackWorld): void {
  const { random, simulator, flows } = world;
  const incident = INCIDENTS[randomBelow(random, INCIDENTS.length)] ?? join;
  const flow = flows[randomBelow(random, flows.length)];
  simulator.at(LIVELY_MS * random.next() ** 2, () => {
    const connection = flow?.client.connection;
    if (connection !== undefined && connection.closeReason === undefined) incident(world, connection);
  });
}

/** As many further subflows as chance wants for a connection, as soon as it may have them. */
function joinWanted(world: StackWorld, wanted: Map<MptcpConnection, number>): void {
  for (const { client } of world.flows) {
    const { connection } = client;
    if (connection === undefined || connection.subflows.length === 0) continue;
    let count = wanted.get(connection) ?? randomBelow(world.random, MOST_JOINS);
    while (count > 0 && join(world, connection) !== "notEstablished") count -= 1;
    wanted.set(connection, count);
  }
}

/** May be refused: for there are enough, or it is plain TCP, or not connected. */
function join(world: StackWorld, connection: MptcpConnection) {
  const [path, family] = [randomPath(world), randomFamily(world)];
  const port = connection.subflows[0]?.tcp.remote.port;
  if (port === undefined) return undefined;
  const remote = { address: FAR_ADDRESSES[family], port };
  const ids = { localAddressId: addressIdOf(path, family), remoteAddressId: 0 };
  const backup = chance(world.random, 0.2);
  return world.home.join(connection, { remote, ...ids, backup }, nearAddresses(path)[family], world.simulator.nowMs);
}

function closeOne({ random, simulator }: StackWorld, connection: MptcpConnection): void {
  const { subflows } = connection;
  const chosen = subflows[randomBelow(random, subflows.length)];
  if (subflows.length > 1 && chosen !== undefined) connection.closeSubflow(chosen.id, simulator.nowMs);
}

function reprioritise({ random, simulator }: StackWorld, connection: MptcpConnection): void {
  const chosen = connection.subflows[randomBelow(random, connection.subflows.length)];
  if (chosen !== undefined) connection.setBackup(chosen.id, chance(random, 0.5), simulator.nowMs);
}

function removeAddress({ random, simulator }: StackWorld, connection: MptcpConnection): void {
  const { subflows } = connection;
  const chosen = subflows[randomBelow(random, subflows.length)];
  if (subflows.length > 1 && chosen !== undefined) connection.removeAddress(chosen.localAddressId, simulator.nowMs);
}

function announce(world: StackWorld, connection: MptcpConnection): void {
  const address = nearAddresses(NOWHERE)[randomFamily(world)];
  connection.announce({ addressId: 100 + randomBelow(world.random, 3), address }, world.simulator.nowMs);
}

/** Both directions pass nothing for 0.1 s to 5 min, perhaps for longer than anyone waits. */
function cutPath({ random, paths, simulator }: StackWorld): void {
  const names = Object.keys(paths);
  const name = names[randomBelow(random, names.length)] ?? "";
  const plan = paths[name];
  if (plan === undefined) return;
  const { links } = simulator.path(name);
  links.forward.configure({ ...plan.forward, loss: 1 });
  links.backward.configure({ ...plan.backward, loss: 1 });
  simulator.at(simulator.nowMs + 10 ** (2 + 3.5 * random.next()), () => {
    links.forward.configure(plan.forward);
    links.backward.configure(plan.backward);
  });
}
