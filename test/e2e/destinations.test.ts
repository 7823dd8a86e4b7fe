import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { ADDRESS } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, hashOf, pattern, receive, reset, StreamServer } from "../lab/stream.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const CLOSED_PORT = 7009;
/** The server resets a connection to it as soon as it has accepted. */
const RESETTING_PORT = 7002;
/** How long the gateway waits for a server. */
const CONNECT_MS = 1000;
/** More than the 14,600 bytes that are read from a client before the gateway has answered. */
const MORE_THAN_EARLY = 100_000;

/** Addresses in the server's networks. Behind the first pair nobody is; of the second the gateway's router says so. */
const BLACK_HOLES = { IPv4: "10.3.3.77", IPv6: "fd33::77" };
const UNREACHABLE = { IPv4: "10.3.3.88", IPv6: "fd33::88" };

const HAG = `${HAG_CONFIG}\ntimeouts: { connect: ${CONNECT_MS}ms }\n`;
/** What the HCPE waits for: a gateway that waits for a server, and then that server itself. */
const HCPE = `${HCPE_CONFIG}\ntimeouts: { reply: 5s }\n`;

const FAMILIES = [
  ["IPv4", ADDRESS.server],
  ["IPv6", ADDRESS.server6],
] as const;

describe("destinations, and ends of connections at every stage", function () {
  this.timeout(30_000);
  let pair: Pair;
  let server: StreamServer;
  let resetting: StreamServer;

  before(async () => {
    pair = await Pair.up({ hcpe: HCPE, hag: HAG });
    server = new StreamServer(pair.lab, "srv", PORT);
    resetting = new StreamServer(pair.lab, "srv", RESETTING_PORT);
    for (const [option, destination] of [
      ["-4", UNREACHABLE.IPv4],
      ["-6", UNREACHABLE.IPv6],
    ] as const) {
      await pair.lab.run("hag", ["ip", option, "route", "add", "unreachable", destination]);
    }
    await pair.lab.run("srv", ["nft", "-f", "-"], { input: DROP_AT_SERVER });
    await pair.lab.run("srv", ["ip", "addr", "add", `${BLACK_HOLES.IPv4}/24`, "dev", "eth0"]);
    await pair.lab.run("srv", ["ip", "addr", "add", `${BLACK_HOLES.IPv6}/64`, "dev", "eth0", "nodad"]);
  });
  after(async () => {
    await server?.close();
    await resetting?.close();
    await pair?.down();
  });

  const outcome = async (host: string, port: number, first = "?") => {
    const startMs = performance.now();
    const socket = connectFrom(pair.lab, "lan", host, port);
    if (first !== "") socket.write(first);
    const { end, bytes } = await receive(socket);
    return { end, bytes, tookMs: performance.now() - startMs };
  };
  const direct = async () => (await pair.status("hcpe")).counters.connectionsDirect;

  for (const [family, host] of FAMILIES) {
    for (const first of ["", "?"]) {
      const client = first === "" ? "a client that waits" : "a client that has sent";
      it(`${family}: a server that refuses is a reset for ${client}`, async () => {
        const { end, bytes, tookMs } = await outcome(host, CLOSED_PORT, first);
        expect({ end, bytes }).to.deep.equal({ end: "ECONNRESET", bytes: 0 });
        expect(tookMs).to.be.below(500);
      });
    }

    it(`${family}: a server that cannot be reached is a reset`, async () => {
      const { end, bytes, tookMs } = await outcome(UNREACHABLE[family], PORT);
      expect({ end, bytes }).to.deep.equal({ end: "ECONNRESET", bytes: 0 });
      expect(tookMs).to.be.below(500);
    });

    it(`${family}: a server that resets at once is a reset, and is asked once`, async () => {
      const accepted = resetting.accept().then((socket) => reset(socket));
      const before = { direct: await direct(), connections: resetting.connections };
      expect(await outcome(host, RESETTING_PORT)).to.include({ end: "ECONNRESET", bytes: 0 });
      await accepted;
      expect(resetting.connections).to.equal(before.connections + 1);
      expect(await direct()).to.equal(before.direct);
    });

    it(`${family}: a server that never answers does not hold a client's handshake, and is given up by the gateway`, async () => {
      const before = (await direct()) ?? 0;
      const socket = connectFrom(pair.lab, "lan", BLACK_HOLES[family], PORT);
      socket.write("?");
      await once(socket, "connect");
      // Network Failure says that nothing was delivered: the HCPE then asks the server itself.
      await eventually(CONNECT_MS + 2000, async () => expect(await direct()).to.equal(before + 1));
      expect(socket.readyState).to.equal("open");
      reset(socket);
      await eventually(2000, async () => expect((await pair.status("hcpe")).counters.connectionsActive).to.equal(0));
    });

    it(`${family}: more than an initial window and its end, sent before the gateway has answered, arrive whole`, async () => {
      const bytes = pattern(MORE_THAN_EARLY, 5);
      const socket = connectFrom(pair.lab, "lan", host, PORT);
      const answer = receive(socket);
      socket.end(bytes);
      const far = await server.accept();
      const received = receive(far);
      far.resume();
      expect(await received).to.deep.equal({ bytes: bytes.length, hash: hashOf(bytes), end: "end" });
      far.end("done");
      expect(await answer).to.include({ bytes: 4, end: "end" });
    });
  }

  describe("a client that resets", () => {
    const nothingLeft = () =>
      eventually(3000, async () => {
        for (const daemon of ["hcpe", "hag"] as const) {
          expect((await pair.status(daemon)).counters).to.include({ connectionsActive: 0, pendingBytes: 0 });
        }
      });

    for (const [stage, act] of [
      ["before the HCPE has accepted it", async (socket: Socket) => socket],
      ["when it has just been accepted", (socket: Socket) => once(socket, "connect")],
      [
        "when it has sent, and the gateway has not answered",
        async (socket: Socket) => {
          socket.write("?");
          await once(socket, "connect");
        },
      ],
      [
        "when it has sent and ended, and the gateway has not answered",
        async (socket: Socket) => {
          socket.end("?");
          await once(socket, "connect");
        },
      ],
    ] as const) {
      it(`${stage}: leaves nothing behind, and no clean end at the server`, async () => {
        const socket = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
        await act(socket);
        const before = server.connections;
        reset(socket);
        await nothingLeft();
        // Where the server was reached at all, it has seen a reset.
        if (server.connections === before) return;
        const far = await server.accept();
        const received = receive(far);
        far.resume();
        expect((await received).end).to.equal("ECONNRESET");
      });
    }

    it("while the server has not answered the gateway: leaves nothing behind", async () => {
      const socket = connectFrom(pair.lab, "lan", BLACK_HOLES.IPv4, PORT);
      socket.write("?");
      await eventually(2000, async () => expect((await pair.status("hag")).counters.connectionsActive).to.equal(1));
      reset(socket);
      await nothingLeft();
    });
  });

  it("a gateway that is killed with connections open resets both sides: neither sees a clean end", async () => {
    const near = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
    near.write("?");
    const far = await server.accept();
    const ends = [receive(near), receive(far)];
    far.resume();
    far.write("!");
    await once(near, "data");
    await pair.daemon("hag").end("SIGKILL");
    // A gateway that has its transport in the process itself cannot say that it is gone before somebody says something.
    near.write("?");
    for (const end of ends) expect((await end).end).to.equal("ECONNRESET");
    await pair.start("hag", HAG);
  });
});

/** The server's host takes what comes for the black holes and says nothing. */
const DROP_AT_SERVER = `table inet holes {
  chain input {
    type filter hook input priority filter;
    ip daddr ${BLACK_HOLES.IPv4} drop
    ip6 daddr ${BLACK_HOLES.IPv6} meta l4proto tcp drop
  }
}
`;
