import type { Socket } from "node:net";
import { expect } from "chai";
import { ADDRESS, access, hybridTopology } from "../lab/hybrid.ts";
import { Pair } from "../lab/pair.ts";
import { connectFrom, hashOf, pattern, receive, StreamServer } from "../lab/stream.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const MEGABYTES_3 = 3_000_000;

/** Fast links: what is tested here is the bytes, not the rate. */
const FAST = hybridTopology({
  dsl: { down: access(200, 2), up: access(200, 2) },
  lte: { down: access(200, 5), up: access(200, 5) },
});

/** How much each side sends, and who ends its stream when. */
interface Exchange {
  readonly client: number;
  readonly server: number;
  /** The side that ends first; the other one ends after it has seen that, or at once. */
  readonly first: "client" | "server";
  /** "late": the second side sends only after the first side's end has arrived. */
  readonly second: "early" | "late";
}

const SIZES: readonly (readonly [number, number])[] = [
  [MEGABYTES_3, MEGABYTES_3],
  [MEGABYTES_3, 0],
  [0, MEGABYTES_3],
  [0, 0],
];

const EXCHANGES: Exchange[] = SIZES.flatMap(([client, server]) =>
  (["client", "server"] as const).flatMap((first) =>
    (["early", "late"] as const).map((second) => ({ client, server, first, second })),
  ),
);

describe("the pair carries streams", function () {
  this.timeout(30_000);
  let pair: Pair;
  let server: StreamServer;

  before(async () => {
    pair = await Pair.up({ topology: FAST });
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  for (const [family, host] of [
    ["IPv4", ADDRESS.server],
    ["IPv6", ADDRESS.server6],
  ] as const) {
    for (const exchange of EXCHANGES) {
      const { client, server: serverBytes, first, second } = exchange;
      it(`${family}: client sends ${client}, server ${serverBytes}, ${first} ends first, the other ${second}`, async () => {
        const near = connectFrom(pair.lab, "lan", host, PORT);
        const far = await server.accept();
        const sides = { client: near, server: far };
        const sent = { client: pattern(client, 1), server: pattern(serverBytes, 2) };
        const received = { client: receive(near), server: receive(far) };
        far.resume();
        const other = first === "client" ? "server" : "client";
        sides[first].end(sent[first]);
        if (second === "late") await received[other];
        sides[other].end(sent[other]);
        expect(await received.server).to.deep.equal({ bytes: client, hash: hashOf(sent.client), end: "end" });
        expect(await received.client).to.deep.equal({ bytes: serverBytes, hash: hashOf(sent.server), end: "end" });
      });
    }

    for (const [side, other] of [
      ["client", "server"],
      ["server", "client"],
    ] as const) {
      for (const bytes of [0, 1, 65_536, 1_000_000]) {
        it(`${family}: a reset by the ${side} after ${bytes} bytes is a reset for the ${other}`, async () => {
          const near = connectFrom(pair.lab, "lan", host, PORT);
          const far = await server.accept();
          const [from, to]: [Socket, Socket] = side === "client" ? [near, far] : [far, near];
          const outcome = receive(to);
          receive(from);
          from.resume();
          to.resume();
          if (bytes > 0) await new Promise((resolve) => from.write(pattern(bytes, 3), resolve));
          from.resetAndDestroy();
          expect((await outcome).end).to.equal("ECONNRESET");
        });
      }
    }
  }

  it("used Multipath TCP for every one of them, and leaves nothing behind", async () => {
    const { counters } = await pair.status("hag");
    expect(counters.connectionsPlain).to.equal(0);
    expect(counters.connectionsMultipath).to.be.greaterThan(40);
    for (const daemon of ["hag", "hcpe"] as const) {
      await eventually(2000, async () => {
        expect((await pair.status(daemon)).counters).to.include({ connectionsActive: 0, pendingBytes: 0 });
      });
    }
  });
});
