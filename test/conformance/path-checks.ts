/** What the path control of every engine must do: tell what happens to connections, and carry commands out. */
import { equalEndpoints, formatEndpoint, formatIpAddress } from "@hybrid-access/core/base/ip-address";
import type { PathCommand, PathEvent, SubflowPath } from "@hybrid-access/core/policy/path-manager/path-manager";
import { expect } from "chai";
import { pattern } from "../lab/stream.ts";
import { type Bench, type Check, type End, type Host, waitFor, withConnection } from "./bench.ts";

type EventType = PathEvent["type"];
/** Two types share one shape, which Extract would not find by one of them. */
type EventOf<Type extends EventType, Event = PathEvent> = Event extends { type: infer Types }
  ? Type extends Types
    ? Event
    : never
  : never;

const NEEDS = ["multipathTcp", "pathControl"] as const;
/** The address identifier of the client's second address. */
const SECOND_ID = 2;

/** The first event of this type about this connection, seen by `host`; waits for it. */
async function event<Type extends EventType>(
  bench: Bench,
  host: Host,
  token: number,
  type: Type,
): Promise<EventOf<Type>> {
  return await waitFor(bench, `the event ${type}`, () =>
    host.pathEvents.find((seen): seen is EventOf<Type> & PathEvent => seen.type === type && seen.token === token),
  );
}

function tokenOf(end: End): number {
  const { token } = end.host.engine.info(end.leg);
  if (token === undefined) throw new Error("a Multipath TCP connection without a token");
  return token;
}

function execute(host: Host, command: PathCommand): void {
  expect(host.paths.execute(command), command.type).to.equal(true);
}

interface Ends {
  readonly client: End;
  readonly server: End;
}

/** A connection on which bytes have passed both ways: only then may an engine add subflows (RFC 8684 section 3.1). */
function withEstablished(bench: Bench, use: (ends: Ends) => Promise<void>): Promise<void> {
  return withConnection(bench, {}, async ({ client, server }) => {
    await exchange({ client, server });
    await event(bench, bench.client, tokenOf(client), "connectionEstablished");
    await event(bench, bench.server, tokenOf(server), "connectionEstablished");
    await use({ client, server });
  });
}

async function exchange({ client, server }: Ends): Promise<void> {
  const bytes = pattern(50_000, 2);
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    const reading = to.read(bytes.length);
    await from.writeAll(bytes);
    expect(Buffer.compare((await reading).bytes, bytes)).to.equal(0);
  }
}

/** Opens a subflow from the client's second address and gives its path as the client's engine tells it. */
async function openSecond(bench: Bench, { client, server }: Ends): Promise<SubflowPath> {
  const { address: local, interfaceIndex } = bench.client.second.ipv4;
  const token = tokenOf(client);
  const remote = bench.client.engine.remoteEndpoint(client.leg);
  if (remote === undefined) throw new Error("the client's leg has no remote end");
  execute(bench.client, {
    type: "createSubflow",
    token,
    localId: SECOND_ID,
    local,
    interfaceIndex,
    remote,
    backup: false,
  });
  const opened = await event(bench, bench.client, token, "subflowEstablished");
  await event(bench, bench.server, tokenOf(server), "subflowEstablished");
  return opened;
}

export const PATH_CHECKS: readonly Check[] = [
  {
    name: "tells of a connection at both ends, by the token that info gives",
    needs: NEEDS,
    run: (bench) =>
      withEstablished(bench, async ({ client, server }) => {
        const seen = await event(bench, bench.client, tokenOf(client), "connectionEstablished");
        expect(seen).to.include({ serverSide: false, denyJoinInitial: false, localId: 0, remoteId: 0 });
        const local = bench.client.engine.localEndpoint(client.leg);
        expect(local && equalEndpoints(seen.local, local)).to.equal(true);
        const other = await event(bench, bench.server, tokenOf(server), "connectionEstablished");
        expect(other.serverSide).to.equal(true);
        expect(local && equalEndpoints(other.remote, local)).to.equal(true);
      }),
  },
  {
    name: "opens a subflow from another address, and info shows it",
    needs: NEEDS,
    run: (bench) =>
      withEstablished(bench, async (ends) => {
        const opened = await openSecond(bench, ends);
        expect(opened.localId).to.equal(SECOND_ID);
        expect(formatIpAddress(opened.local.address)).to.equal(formatIpAddress(bench.client.second.ipv4.address));
        for (const { host, leg } of [ends.client, ends.server]) {
          await waitFor(bench, "two subflows", () => host.engine.info(leg).subflows.length === 2);
        }
        const subflows = bench.client.engine.info(ends.client.leg).subflows.map(({ local }) => formatEndpoint(local));
        expect(subflows).to.include(formatEndpoint(opened.local));
        await exchange(ends);
      }),
  },
  {
    name: "makes a subflow a backup and regular again, and the peer is told",
    needs: NEEDS,
    run: (bench) =>
      withEstablished(bench, async (ends) => {
        const { localId, local, remote } = await openSecond(bench, ends);
        const token = tokenOf(ends.client);
        for (const backup of [true, false]) {
          bench.server.pathEvents.length = 0;
          execute(bench.client, { type: "setPriority", token, localId, local, remote, backup });
          expect((await event(bench, bench.server, tokenOf(ends.server), "subflowPriority")).backup).to.equal(backup);
        }
      }),
  },
  {
    name: "ends a subflow, and the connection goes on",
    needs: NEEDS,
    run: (bench) =>
      withEstablished(bench, async (ends) => {
        const { localId, local, remote } = await openSecond(bench, ends);
        execute(bench.client, { type: "destroySubflow", token: tokenOf(ends.client), localId, local, remote });
        const closed = await event(bench, bench.client, tokenOf(ends.client), "subflowClosed");
        expect(formatEndpoint(closed.local)).to.equal(formatEndpoint(local));
        await waitFor(bench, "one subflow", () => bench.client.engine.info(ends.client.leg).subflows.length === 1);
        await exchange(ends);
      }),
  },
  {
    name: "goes on over a second subflow when the first one is ended",
    needs: NEEDS,
    run: (bench) =>
      withEstablished(bench, async (ends) => {
        await openSecond(bench, ends);
        const token = tokenOf(ends.client);
        const { localId, local, remote } = await event(bench, bench.client, token, "connectionEstablished");
        execute(bench.client, { type: "destroySubflow", token, localId, local, remote });
        await event(bench, bench.client, token, "subflowClosed");
        await exchange(ends);
      }),
  },
  {
    name: "announces an address and takes it back, and the peer is told",
    needs: NEEDS,
    run: (bench) =>
      withEstablished(bench, async (ends) => {
        const local = { address: bench.server.second.ipv4.address, port: 0 };
        const token = tokenOf(ends.server);
        execute(bench.server, { type: "announce", token, localId: SECOND_ID, local });
        const announced = await event(bench, bench.client, tokenOf(ends.client), "addressAnnounced");
        expect(announced.remoteId).to.equal(SECOND_ID);
        expect(formatIpAddress(announced.remote.address)).to.equal(formatIpAddress(local.address));
        execute(bench.server, { type: "remove", token, localId: SECOND_ID });
        expect((await event(bench, bench.client, tokenOf(ends.client), "addressRemoved")).remoteId).to.equal(SECOND_ID);
      }),
  },
  {
    name: "says that a subflow which the peer refused did not come up",
    needs: NEEDS,
    run: (bench) =>
      withEstablished(bench, async ({ client }) => {
        const { address: local, interfaceIndex } = bench.client.second.ipv4;
        const token = tokenOf(client);
        // Nobody listens there.
        const remote = { address: bench.server.second.ipv4.address, port: 9 };
        execute(bench.client, {
          type: "createSubflow",
          token,
          localId: SECOND_ID,
          local,
          interfaceIndex,
          remote,
          backup: false,
        });
        expect((await event(bench, bench.client, token, "subflowClosed")).error).to.be.greaterThan(0);
      }),
  },
  {
    name: "refuses commands about a connection that is not there",
    needs: NEEDS,
    run: async ({ client, server }) => {
      const local = { address: client.second.ipv4.address, port: 0 };
      expect(client.paths.execute({ type: "announce", token: 1, localId: 1, local })).to.equal(false);
      expect(server.paths.execute({ type: "remove", token: 1, localId: 1 })).to.equal(false);
    },
  },
  {
    name: "tells both ends of the end of a connection",
    needs: NEEDS,
    run: (bench) =>
      withEstablished(bench, async ({ client, server }) => {
        const [near, far] = [tokenOf(client), tokenOf(server)];
        client.close();
        server.close();
        await event(bench, bench.client, near, "connectionClosed");
        await event(bench, bench.server, far, "connectionClosed");
      }),
  },
  {
    name: "tells who aborts a connection of its end, and refuses commands about it at the other end",
    needs: NEEDS,
    run: (bench) =>
      withEstablished(bench, async ({ client, server }) => {
        const [near, far] = [tokenOf(client), tokenOf(server)];
        client.reset();
        await event(bench, bench.client, near, "connectionClosed");
        expect((await server.read()).end).to.equal("ECONNRESET");
        server.close();
        const local = { address: bench.server.second.ipv4.address, port: 0 };
        await waitFor(
          bench,
          "the aborted connection to be gone",
          () => !bench.server.paths.execute({ type: "announce", token: far, localId: SECOND_ID, local }),
        );
      }),
  },
];
