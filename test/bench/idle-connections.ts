/**
 * What an idle connection of the userspace transport takes of memory: a process of its own, run with --expose-gc, with
 * nothing else on its heap. Arguments: one of {@link IDLE_KINDS}, and how many connections. Prints {@link IdleMemory} as
 * JSON.
 *
 * Two hosts, a wire without loss, virtual time. Each connection is established, carries a request and an answer, and is
 * then silent for so long that no timer runs.
 */
import { setTimeout as pause } from "node:timers/promises";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { StackHost } from "@hybrid-access/core/stack/host";
import type { Listener } from "@hybrid-access/core/stack/listener";
import type { MptcpConnection } from "@hybrid-access/core/stack/mptcp/connection";
import { HostPair, readAll } from "../unit/stack/host-pair.ts";
import { IDLE_KINDS, type IdleKind, type IdleMemory } from "./idle-memory.ts";

const PORT = 443;
const SECOND_ADDRESS = ipAddress("192.0.2.2");
const REQUEST = new Uint8Array(1000);
const ANSWER = new Uint8Array(2000);
/** Opened at once: a listener answers so many without SYN cookies. */
const BATCH = 500;
const EXCHANGE_MS = 3000;
/** Longer than every timer of a connection. */
const SILENCE_MS = 300_000;

/** A host, and those to whom its connections are. */
interface Side {
  readonly host: StackHost;
  readonly connections: MptcpConnection[];
}

/** The side that has opened `count` idle connections, and the one that has accepted them. */
function populate(kind: IdleKind, count: number): Side[] {
  const pair = new HostPair("ipv4", {}, count);
  const listener = pair.server.listen(PORT);
  const opened: Side = { host: pair.client, connections: [] };
  const accepted: Side = { host: pair.server, connections: [] };
  for (let left = count; left > 0; left -= BATCH) {
    opened.connections.push(...open(pair, kind, Math.min(BATCH, left)));
    pair.run(() => false, EXCHANGE_MS);
    accepted.connections.push(...answer(listener, pair));
    pair.run(() => false, EXCHANGE_MS);
    for (const connection of opened.connections.slice(-Math.min(BATCH, left))) takeAnswer(connection, pair, kind);
    pair.run(() => false, EXCHANGE_MS);
    for (const { host } of [opened, accepted]) takeEvents(host);
  }
  pair.run(() => false, SILENCE_MS);
  for (const { connections } of [opened, accepted]) {
    if (connections.length !== count) throw new Error("some are missing");
    for (const connection of connections) assertIdle(connection, kind);
  }
  return [opened, accepted];
}

function open(pair: HostPair, kind: IdleKind, count: number): MptcpConnection[] {
  const remote = { address: pair.serverAddress, port: PORT };
  return Array.from({ length: count }, () => {
    const connection = pair.client.connect(pair.clientAddress, remote, pair.nowMs, { multipath: kind !== "tcp" });
    if (connection?.write(REQUEST, pair.nowMs) !== REQUEST.length) throw new Error("no room");
    return connection;
  });
}

function answer(listener: Listener, { nowMs }: HostPair): MptcpConnection[] {
  const accepted: MptcpConnection[] = [];
  for (let one = listener.accept(); one !== undefined; one = listener.accept()) {
    if (readAll(one) !== REQUEST.length) throw new Error("the request is not whole");
    one.write(ANSWER, nowMs);
    accepted.push(one);
  }
  return accepted;
}

function takeAnswer(connection: MptcpConnection, { client, serverAddress, nowMs }: HostPair, kind: IdleKind): void {
  if (readAll(connection) !== ANSWER.length) throw new Error("the answer is not whole");
  if (kind !== "two-subflows") return;
  const remote = { address: serverAddress, port: PORT };
  const path = { remote, localAddressId: 1, remoteAddressId: 0, backup: false };
  const subflow = client.join(connection, path, SECOND_ADDRESS, nowMs);
  if (typeof subflow === "string") throw new Error(`no second subflow: ${subflow}`);
}

function takeEvents(host: StackHost): void {
  for (let one = host.pollChanged(); one !== undefined; one = host.pollChanged()) {
    for (let event = one.pollEvent(); event !== undefined; ) event = one.pollEvent();
  }
}

function assertIdle({ subflows, isMultipath, closeReason }: MptcpConnection, kind: IdleKind): void {
  const wanted = kind === "two-subflows" ? 2 : 1;
  const established = subflows.filter(
    ({ tcp, isConfirmed }) => tcp.state === "established" && (isConfirmed || kind === "tcp"),
  );
  if (closeReason !== undefined || isMultipath !== (kind !== "tcp") || established.length !== wanted)
    throw new Error(`a connection is not as it should be: ${closeReason}, ${established.length} subflows`);
}

async function usedBytes(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error("run with --expose-gc");
  // A turn of the loop, so that nothing on the stack holds what is to go.
  await pause(10);
  for (let turn = 0; turn < 4; turn++) globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function measure(kind: IdleKind, count: number): Promise<IdleMemory> {
  const sides = populate(kind, count);
  const both = await usedBytes();
  sides.shift();
  const accepted = await usedBytes();
  sides.shift();
  const none = await usedBytes();
  return { opened: (both - accepted) / count, accepted: (accepted - none) / count };
}

const [kind, count] = process.argv.slice(2);
const known = IDLE_KINDS.find((one) => one === kind);
if (known === undefined) throw new Error(`no kind ${kind}`);
process.stdout.write(JSON.stringify(await measure(known, Number(count))));
