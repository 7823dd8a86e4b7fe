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

  const nothingLeft = () =>
    eventually(5000, async () => {
      for (const daemon of ["hcpe", "hag"] as const) {
        expect((await pair.status(daemon)).counters).to.include({ connectionsActive: 0, pendingBytes: 0 });
      }
    });

  /** Connections of the server's host to the server, in whatever state but for TIME-WAIT. */
  const connectionsAtServer = () =>
    pair.lab.run("srv", ["ss", "-Htn", "state", "connected", "exclude", "time-wait", `sport = :${PORT}`]);

  for (const [family, host] of FAMILIES) {
    describe(`${family}: a client that resets`, () => {
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
          const socket = connectFrom(pair.lab, "lan", host, PORT);
          await act(socket);
          const before = server.connections;
          reset(socket);
          await nothingLeft();
          // The server may have been reached before the reset, or not: then its host knows of no connection either.
          await eventually(5000, async () => expect(await connectionsAtServer()).to.equal(""));
          expect(server.connections - before).to.be.oneOf([0, 1]);
          if (server.connections === before) return;
          await expectReset(await server.accept(), stage.includes("ended"));
        });
      }

      for (const [stage, act] of [
        ["when the server has accepted it", (socket: Socket) => socket.write("?")],
        ["when it has ended and the server has accepted it", (socket: Socket) => socket.end("?")],
      ] as const) {
        it(`${stage}: is a reset at the server`, async () => {
          const socket = connectFrom(pair.lab, "lan", host, PORT);
          act(socket);
          const far = await server.accept();
          reset(socket);
          await expectReset(far, stage.includes("ended"));
          await nothingLeft();
        });
      }

      it("while the server has not answered the gateway: leaves nothing behind, and does not reach the server", async () => {
        const before = server.connections;
        const socket = connectFrom(pair.lab, "lan", BLACK_HOLES[family], PORT);
        socket.write("?");
        await eventually(2000, async () => expect((await pair.status("hag")).counters.connectionsActive).to.equal(1));
        reset(socket);
        await nothingLeft();
        expect(server.connections).to.equal(before);
      });
    });

    describe(`${family}: a relayed connection that one side has ended`, () => {
      for (const ending of ["client", "server"] as const) {
        for (const resetting of ["client", "server"] as const) {
          const seen = ending === resetting ? "what the other still sends fails" : "a reset, not an end, for the other";
          it(`ended by the ${ending}, reset by the ${resetting}: ${seen}`, async () => {
            const { heard, ...ends } = await relayed(host);
            const listener = opposite(ending);
            ends[ending].end("last");
            // The end has been relayed: the reset comes into the half-closed state, at both daemons.
            expect(await heard[listener]).to.include({ bytes: 5, end: "end" });
            reset(ends[resetting]);
            if (ending === resetting) expect(await brokenBy(ends[listener])).to.be.oneOf(BROKEN);
            else expect((await heard[ending]).end).to.equal("ECONNRESET");
            await nothingLeft();
          });
        }
      }
    });
  }

  /** Both ends of a connection over which a byte has gone each way, and what they hear. */
  async function relayed(host: string) {
    const client = connectFrom(pair.lab, "lan", host, PORT);
    client.write("?");
    const far = await server.accept();
    const heard = { client: receive(client), server: receive(far) };
    const bytes = [once(client, "data"), once(far, "data")];
    far.resume();
    far.write("!");
    await Promise.all(bytes);
    return { client, server: far, heard };
  }

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

function opposite(side: "client" | "server"): "client" | "server" {
  return side === "client" ? "server" : "client";
}

/** How writing to a connection fails that its peer has reset: with EPIPE where the peer had ended before (tcp_reset() of Linux). */
const BROKEN = ["ECONNRESET", "EPIPE"];
const WRITE_INTERVAL_MS = 10;

/** Writes until that fails, and gives the error's code. */
async function brokenBy(socket: Socket): Promise<string | undefined> {
  const writing = setInterval(() => socket.write("?"), WRITE_INTERVAL_MS);
  try {
    return await eventually(5000, () => {
      expect(socket.errored).to.be.an("error");
      return (socket.errored as NodeJS.ErrnoException).code;
    });
  } finally {
    clearInterval(writing);
  }
}

/** Where the peer had ended its stream before the reset, that end may have come; but what is sent then fails. */
async function expectReset(socket: Socket, hadEnded: boolean): Promise<void> {
  if (hadEnded) {
    expect(await brokenBy(socket)).to.be.oneOf(BROKEN);
    return;
  }
  const received = receive(socket);
  socket.resume();
  expect((await received).end).to.equal("ECONNRESET");
}

/** The server's host takes what comes for the black holes and says nothing. */
const DROP_AT_SERVER = `table inet holes {
  chain input {
    type filter hook input priority filter;
    ip daddr ${BLACK_HOLES.IPv4} drop
    ip6 daddr ${BLACK_HOLES.IPv6} meta l4proto tcp drop
  }
}
`;
