/** Subflows and addresses with Linux at the other end: priorities, announcements, removals, loss and repair. */
import { expect } from "chai";
import { type End, waitFor } from "../conformance/bench.ts";
import { pattern } from "../lab/stream.ts";
import type { Cell, Setting } from "./matrix.ts";
import {
  announceSecond,
  bothWays,
  type Ends,
  event,
  execute,
  listenForJoins,
  MEGABYTE,
  openFrom,
  otherSide,
  SECOND_ID,
  SIDES,
  send,
  sentOver,
  subflowCount,
  tokenOf,
  withEstablished,
  withTwoSubflows,
} from "./steps.ts";

/**
 * What a subflow may carry of a megabyte though others work: Linux also sends over it what a busy host is late to
 * acknowledge.
 */
const HARDLY_ANYTHING = MEGABYTE / 10;
const SOME_BYTES = 300_000;
/** What the client's first address is called in a join: 0 is the end of the first subflow itself. */
const FIRST_ID = 1;

const SILENT_TABLE = `table inet silent {
  chain forward {
    type filter hook forward priority filter; policy accept;
    ip saddr { 10.81.2.0/24, 10.82.2.0/24 } drop
    ip daddr { 10.81.2.0/24, 10.82.2.0/24 } drop
    ip6 saddr { fd81:2::/64, fd82:2::/64 } drop
    ip6 daddr { fd81:2::/64, fd82:2::/64 } drop
  }
  chain output {
    type filter hook output priority filter; policy accept;
    ip saddr 10.81.2.0/24 drop
    ip6 saddr fd81:2::/64 drop
  }
}
`;

/** Packets of the second path are lost meanwhile. */
async function whileSilent({ bench }: Setting, use: () => Promise<void>): Promise<void> {
  await bench.lab.run("client", ["nft", "-f", "-"], { input: SILENT_TABLE });
  try {
    await use();
  } finally {
    await bench.lab.run("client", ["nft", "-f", "-"], { input: "delete table inet silent\n" });
  }
}

/** A connection, one side of which has told its second address, and the other has opened a subflow to it. */
function withAnnounced(
  setting: Setting,
  announcer: "client" | "server",
  use: (near: End, far: End) => Promise<void>,
): Promise<void> {
  return withEstablished(setting, async (ends) => {
    const [near, far] = [ends[announcer], ends[otherSide(announcer)]];
    const announced = await announceSecond(setting, near, far);
    const listening = listenForJoins(setting, near.host, announced);
    try {
      await openFrom(setting, far, near, { remote: announced });
      await use(near, far);
    } finally {
      listening?.reset();
    }
  });
}

const ADDRESSES: readonly Cell[] = SIDES.flatMap((announcer): Cell[] => [
  {
    name: `ADD_ADDR from the ${announcer}, to which the ${otherSide(announcer)} opens a subflow`,
    run: (setting) =>
      withAnnounced(setting, announcer, async (near, far) => {
        await send(near, far, pattern(SOME_BYTES, 7));
        await send(far, near, pattern(SOME_BYTES, 8));
      }),
  },
  {
    name: `REMOVE_ADDR from the ${announcer}, which ends the address's subflow`,
    run: (setting) =>
      withAnnounced(setting, announcer, async (near, far) => {
        execute(near, { type: "remove", token: tokenOf(near), localId: SECOND_ID });
        expect((await event(setting.bench, far, "addressRemoved")).remoteId).to.equal(SECOND_ID);
        await event(setting.bench, far, "subflowClosed");
        for (const end of [near, far]) {
          await waitFor(setting.bench, "one subflow to be left", () => subflowCount(end) === 1);
        }
        await send(near, far, pattern(SOME_BYTES, 7));
        await send(far, near, pattern(SOME_BYTES, 8));
      }),
  },
]);

const PRIORITIES: readonly Cell[] = [
  ...SIDES.map(
    (side): Cell => ({
      name: `MP_PRIO from the ${side}: the subflow becomes backup and carries nothing, and regular again`,
      run: (setting) => withTwoSubflows(setting, (ends, { localId }) => reprioritise(setting, ends, side, localId)),
    }),
  ),
  {
    name: "a backup subflow (B bit of MP_JOIN) carries nothing, and everything when it is the only one left",
    run: (setting) =>
      withTwoSubflows(
        setting,
        async (ends, second) => {
          await bothWays(ends, MEGABYTE);
          for (const side of SIDES) expect(sentOver(ends[side], second), side).to.be.below(HARDLY_ANYTHING);
          await endFirst(setting, ends);
          await bothWays(ends, MEGABYTE);
        },
        true,
      ),
  },
];

/** By the path as `side` was told of it: each names its own end first. */
async function reprioritise({ bench }: Setting, ends: Ends, side: "client" | "server", localId: number): Promise<void> {
  const [near, far] = [ends[side], ends[otherSide(side)]];
  const path = await event(bench, near, "subflowEstablished");
  const { local, remote, localId: id, remoteId } = path;
  expect([id, remoteId]).to.include(localId);
  for (const backup of [true, false]) {
    far.host.pathEvents.length = 0;
    execute(near, { type: "setPriority", token: tokenOf(near), local, remote, localId: id, backup });
    expect((await event(bench, far, "subflowPriority")).backup).to.equal(backup);
    const before = SIDES.map((one) => sentOver(ends[one], path));
    await bothWays(ends, MEGABYTE);
    for (const [index, one] of SIDES.entries()) {
      const carried = sentOver(ends[one], path) - (before[index] ?? 0);
      if (backup) expect(carried, one).to.be.below(HARDLY_ANYTHING);
      else expect(carried, one).to.be.greaterThan(0);
    }
  }
}

/** The client ends the subflow with which the connection began. */
async function endFirst({ bench }: Setting, { client, server }: Ends): Promise<void> {
  const { localId, local, remote } = await event(bench, client, "connectionEstablished");
  execute(client, { type: "destroySubflow", token: tokenOf(client), localId, local, remote });
  for (const end of [client, server]) await event(bench, end, "subflowClosed");
}

const REPAIR: readonly Cell[] = [
  {
    name: "a path that falls silent in the middle: the other one carries everything, and both when it is back",
    run: (setting) =>
      withTwoSubflows(setting, async (ends) => {
        const bytes = pattern(SOME_BYTES, 9);
        const reading = ends.server.read(bytes.length);
        await ends.client.writeAll(bytes.subarray(0, SOME_BYTES / 2));
        await whileSilent(setting, async () => {
          await ends.client.writeAll(bytes.subarray(SOME_BYTES / 2));
          expect(Buffer.compare((await reading).bytes, bytes)).to.equal(0);
          await bothWays(ends, SOME_BYTES);
        });
        await bothWays(ends, SOME_BYTES);
      }),
  },
  {
    name: "the first subflow is reset in the middle, and opened again: nothing is missing, both carry bytes",
    run: (setting) =>
      withTwoSubflows(setting, async (ends) => {
        const bytes = pattern(SOME_BYTES, 9);
        const reading = ends.server.read(bytes.length);
        await ends.client.writeAll(bytes.subarray(0, SOME_BYTES / 2));
        await endFirst(setting, ends);
        await ends.client.writeAll(bytes.subarray(SOME_BYTES / 2));
        expect(Buffer.compare((await reading).bytes, bytes)).to.equal(0);
        const from = { address: ends.client.host.address[setting.family], interfaceIndex: 0 };
        const repaired = await openFrom(setting, ends.client, ends.server, { from, localId: FIRST_ID });
        await bothWays(ends, MEGABYTE);
        for (const side of SIDES) expect(sentOver(ends[side], repaired), side).to.be.greaterThan(0);
      }),
  },
];

export const PATH_CELLS: readonly Cell[] = [...ADDRESSES, ...PRIORITIES, ...REPAIR];
