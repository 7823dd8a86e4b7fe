import { expect } from "chai";
import { ConvertClient, connectTo } from "../lab/convert-client.ts";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { GATEWAY, gatewayConfig, gatewayUp } from "../lab/gateway.ts";
import { ADDRESS, hybridTopology } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, hashOf, pattern, receive, StreamServer } from "../lab/stream.ts";

const PORT = 7000;
const BYTES = 1_000_000;
const SHORT_BYTES = 100_000;

describe("without Multipath TCP on the way", function () {
  this.timeout(30_000);
  const stripping = { up: { stripMultipath: true }, down: { stripMultipath: true } };

  for (const [family, gateway, host] of [
    ["IPv4", ADDRESS.gateway, ADDRESS.server],
    ["IPv6", ADDRESS.gateway6, ADDRESS.server6],
  ] as const) {
    it(`${family}: connections are carried to the gateway as plain TCP, whole, and counted`, async () => {
      const hcpe = HCPE_CONFIG.replace("address: 10.9.9.9", `address: "${gateway}"`);
      const pair = await Pair.up({
        topology: hybridTopology({ dsl: stripping, lte: stripping }),
        hcpe,
        hag: HAG_CONFIG,
      });
      const server = new StreamServer(pair.lab, "srv", PORT);
      try {
        for (let count = 0; count < 10; count++) {
          const near = connectFrom(pair.lab, "lan", host, PORT);
          const far = await server.accept();
          const sent = [pattern(BYTES, 1), pattern(BYTES, 2)] as const;
          const received = [receive(far), receive(near)] as const;
          far.resume();
          near.end(sent[0]);
          far.end(sent[1]);
          for (const side of [0, 1] as const) {
            expect(await received[side]).to.deep.equal({ bytes: BYTES, hash: hashOf(sent[side]), end: "end" });
          }
        }
        expect((await pair.status("hag")).counters).to.include({ connectionsPlain: 10, connectionsMultipath: 0 });
        expect((await pair.status("hcpe")).counters).to.include({ connectionsDirect: 0, gatewayFailures: 0 });
      } finally {
        await server.close();
        await pair.down();
      }
    });
  }
});

function lose(what: string): string {
  return `table inet loss {
  chain forward {
    type filter hook forward priority filter;
    ${what} counter drop
  }
}
`;
}

/** The first bare ACK that has both keys is lost (RFC 8684 section 3.1, figure 4). */
const LOSE_THIRD_ACK = lose("tcp option mptcp subtype 0 tcp option mptcp length 20 numgen inc mod 1000000 == 0");
/** All that has both keys is lost: the third ACK and the first data, however often they are sent. */
const LOSE_KEYS = lose("tcp option mptcp subtype 0 tcp flags & syn == 0");

describe("a third ACK of the handshake that is lost", function () {
  this.timeout(30_000);

  it("costs no connection its Multipath TCP: the first data brings the keys again (RFC 8041 section 3.11)", async () => {
    const pair = await Pair.up();
    const server = new StreamServer(pair.lab, "srv", PORT);
    try {
      for (let count = 0; count < 3; count++) {
        await pair.lab.run("rdsl", ["nft", "-f", "-"], { input: LOSE_THIRD_ACK });
        const near = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
        const answered = receive(near);
        const sent = pattern(SHORT_BYTES, count);
        near.end(sent);
        const far = await server.accept();
        const arrived = receive(far);
        far.resume().end();
        expect(await arrived).to.deep.equal({ bytes: SHORT_BYTES, hash: hashOf(sent), end: "end" });
        await answered;
        const lost = await pair.lab.run("rdsl", ["nft", "list", "table", "inet", "loss"]);
        expect(lost).to.match(/packets 1 /);
        await pair.lab.run("rdsl", ["nft", "delete", "table", "inet", "loss"]);
      }
      expect((await pair.status("hcpe")).counters).to.include({ connectionsMultipath: 3, connectionsPlain: 0 });
      expect((await pair.status("hag")).counters).to.include({ connectionsMultipath: 3, connectionsPlain: 0 });
    } finally {
      await server.close();
      await pair.down();
    }
  });

  it("costs it only together with the first data, when later data arrives without the keys: whole, as plain TCP", async function () {
    kernelOnly(this, "which takes an ACK without options for plain TCP");
    const pair = await Pair.up();
    const server = new StreamServer(pair.lab, "srv", PORT);
    try {
      await pair.lab.run("rdsl", ["nft", "-f", "-"], { input: LOSE_KEYS });
      const near = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
      const answered = receive(near);
      const sent = pattern(SHORT_BYTES, 1);
      near.end(sent);
      const far = await server.accept();
      const arrived = receive(far);
      far.resume().end();
      expect(await arrived).to.deep.equal({ bytes: SHORT_BYTES, hash: hashOf(sent), end: "end" });
      await answered;
      expect((await pair.status("hcpe")).counters).to.include({ connectionsPlain: 1, connectionsMultipath: 0 });
    } finally {
      await server.close();
      await pair.down();
    }
  });
});

describe("egress.source: client", function () {
  this.timeout(20_000);
  let pair: Pair;
  let server: StreamServer;

  before(async () => {
    pair = await gatewayUp(gatewayConfig().replace("source: shared", "source: client"));
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  for (const [what, from, destination, seen] of [
    ["IPv4: the client's address", GATEWAY.client, GATEWAY.server, GATEWAY.client],
    ["IPv4: another client's address", GATEWAY.neighbour, GATEWAY.server, GATEWAY.neighbour],
    ["IPv6: the client's address", GATEWAY.client6, GATEWAY.server6, GATEWAY.client6],
    ["IPv6 for an IPv4 client: the gateway's", GATEWAY.client, GATEWAY.server6, "fd33::1"],
    ["IPv4 for an IPv6 client: the gateway's", GATEWAY.client6, GATEWAY.server, "10.3.3.1"],
  ] as const) {
    for (const transport of ["plain TCP", "Multipath TCP"] as const) {
      it(`the server sees ${what} (${transport})`, async () => {
        const client = new ConvertClient(pair.lab, connectTo(destination, PORT), { from, transport });
        await client.answer();
        const far = await server.accept();
        expect((far.remoteAddress ?? "").replace(/^::ffff:/, "")).to.equal(seen);
        far.end("answer");
        expect((await client.payload(6)).toString()).to.equal("answer");
        client.close();
      });
    }
  }
});
