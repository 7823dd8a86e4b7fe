/** What the cells of the matrix do with a connection. */
import { type Endpoint, equalEndpoints, formatEndpoint, formatIpAddress } from "@hybrid-access/core/base/ip-address";
import type { PathCommand, PathEvent, SubflowPath } from "@hybrid-access/core/policy/path-manager/path-manager";
import { expect } from "chai";
import { End, type Host, type HostAddress, waitFor, withConnection } from "../conformance/bench.ts";
import type { LabBench } from "../conformance/lab-bench.ts";
import { hashOf, pattern } from "../lab/stream.ts";
import type { Setting } from "./matrix.ts";

export const MEGABYTE = 1_000_000;
/** What both ends call the second address of the one who opens subflows from it, or tells of it. */
export const SECOND_ID = 2;

/** A connection in the lab, seen by the one who has opened it and by the one who has taken it. */
export interface Ends {
  readonly client: End;
  readonly server: End;
}

export type Side = keyof Ends;
export const SIDES: readonly Side[] = ["client", "server"];

export function otherSide(side: Side): Side {
  return side === "client" ? "server" : "client";
}

/** The same bytes arrive. */
export async function send(from: End, to: End, bytes: Uint8Array): Promise<void> {
  const reading = to.read(bytes.length);
  await from.writeAll(bytes);
  expect(hashOf((await reading).bytes)).to.equal(hashOf(bytes));
}

export async function bothWays({ client, server }: Ends, length: number): Promise<void> {
  await send(client, server, pattern(length, 3));
  await send(server, client, pattern(length, 4));
}

/** Sends so much each way and ends both streams, that of the client first. */
export async function bothWaysToTheEnd({ client, server }: Ends, length: number): Promise<void> {
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    const bytes = pattern(length, 6);
    const reading = to.read();
    await from.writeAll(bytes);
    from.shutdownWrite();
    const { bytes: come, end } = await reading;
    expect(end).to.equal("end");
    expect(hashOf(come)).to.equal(hashOf(bytes));
  }
}

/** A connection over which bytes have passed both ways: only then further subflows may be opened (RFC 8684 section 3.1). */
export function withEstablished({ bench, family }: Setting, use: (ends: Ends) => Promise<void>): Promise<void> {
  return withConnection(bench, { family }, async (ends) => {
    await bothWays(ends, 20_000);
    await use(ends);
  });
}

/** The same with a subflow from the client's second address. */
export function withTwoSubflows(
  setting: Setting,
  use: (ends: Ends, opened: SubflowPath) => Promise<void>,
  backup = false,
): Promise<void> {
  return withEstablished(setting, async (ends) => {
    await use(ends, await openFrom(setting, ends.client, ends.server, { backup }));
  });
}

export function tokenOf({ host, leg }: End): number {
  const { token } = host.engine.info(leg);
  if (token === undefined) throw new Error("not Multipath TCP");
  return token;
}

export function execute({ host }: End, command: PathCommand): void {
  expect(host.paths.execute(command), command.type).to.equal(true);
}

type EventOf<Type extends PathEvent["type"], Event = PathEvent> = Event extends { type: infer Types }
  ? Type extends Types
    ? Event
    : never
  : never;

/** The first event of this type about a connection that its host has told; waits for it. */
export function event<Type extends PathEvent["type"]>(
  bench: LabBench,
  end: End,
  type: Type,
): Promise<EventOf<Type> & PathEvent> {
  const token = tokenOf(end);
  return waitFor(bench, `the event ${type}`, () =>
    end.host.pathEvents.find((seen): seen is EventOf<Type> & PathEvent => seen.type === type && seen.token === token),
  );
}

export interface OpenOptions {
  /** The opener's second address when left out. */
  readonly from?: HostAddress;
  readonly localId?: number;
  /** Where to; the end to which the connection was opened when left out. */
  readonly remote?: Endpoint;
  readonly backup?: boolean;
}

/** Opens a subflow, and waits until both know it. Gives its path as its opener tells it. */
export async function openFrom(
  { bench, family }: Setting,
  near: End,
  far: End,
  { from = near.host.second[family], localId = SECOND_ID, remote = remoteOf(near), backup = false }: OpenOptions = {},
): Promise<SubflowPath> {
  const { address: local, interfaceIndex } = from;
  const known = new Set([near, far].flatMap(({ host }) => host.pathEvents));
  const token = tokenOf(near);
  execute(near, { type: "createSubflow", token, localId, local, interfaceIndex, remote, backup });
  const opened = await nextSubflow(bench, near, known);
  await nextSubflow(bench, far, known);
  return opened;
}

/** The next subflow that has come up; fails when it has not. */
async function nextSubflow(bench: LabBench, end: End, known: ReadonlySet<PathEvent>): Promise<SubflowPath> {
  const token = tokenOf(end);
  const told = await waitFor(bench, "the subflow", () =>
    end.host.pathEvents.find(
      (seen) =>
        !known.has(seen) &&
        (seen.type === "subflowEstablished" || seen.type === "subflowClosed") &&
        seen.token === token,
    ),
  );
  if (told.type !== "subflowEstablished") throw new Error(`the subflow did not come up: ${JSON.stringify(told)}`);
  return told;
}

export function remoteOf({ host, leg }: End): Endpoint {
  const remote = host.engine.remoteEndpoint(leg);
  if (remote === undefined) throw new Error("no remote end");
  return remote;
}

/** How many subflows an end has. */
export function subflowCount({ host, leg }: End): number {
  return host.engine.info(leg).subflows.length;
}

/** Bytes that an end has sent over the subflow of a path, repetitions included. */
export function sentOver({ host, leg }: End, { local, remote }: SubflowPath): number {
  const { subflows } = host.engine.info(leg);
  const found = subflows.find((one) =>
    [local, remote].every((end) => equalEndpoints(one.local, end) || equalEndpoints(one.remote, end)),
  );
  if (found === undefined) throw new Error(`no subflow ${formatEndpoint(local)}`);
  return found.bytesSent;
}

/** Tells the peer of the second address, as ADD_ADDR without a port: that of the first subflow. Gives the end that is meant. */
export async function announceSecond({ bench, family }: Setting, near: End, far: End): Promise<Endpoint> {
  const { address } = near.host.second[family];
  execute(near, { type: "announce", token: tokenOf(near), localId: SECOND_ID, local: { address, port: 0 } });
  const { remoteId, remote } = await event(bench, far, "addressAnnounced");
  expect(remoteId).to.equal(SECOND_ID);
  expect(formatIpAddress(remote.address)).to.equal(formatIpAddress(address));
  return { address, port: remoteOf(far).port };
}

/** Linux takes joins where it listens only; the userspace engine takes them at what it has announced. */
export function listenForJoins({ bench }: Setting, host: Host, endpoint: Endpoint): End | undefined {
  if (host.engine.name !== "kernel") return undefined;
  return new End(
    bench,
    host,
    host.inside(() => host.engine.listen({ endpoint, protocol: "mptcp" })),
  );
}
