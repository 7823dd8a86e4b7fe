import { fromHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { ERROR_CODE } from "@hybrid-access/core/wire/convert/codes";
import { emitConvertMessage, findTlv } from "@hybrid-access/core/wire/convert/message";
import { expect } from "chai";
import { ask, ConvertClient, connectTo, errorCode, TRANSPORTS, type Transport } from "../lab/convert-client.ts";
import { countSyns, GATEWAY, gatewayConfig, gatewayUp, resetSyns } from "../lab/gateway.ts";
import type { Pair } from "../lab/pair.ts";
import { StreamServer } from "../lab/stream.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const CLOSED_PORT = 7001;
const transports = Object.keys(TRANSPORTS) as Transport[];

/** Destinations that nobody may reach through the gateway, in the spellings that a Connect TLV can carry. */
const FORBIDDEN: readonly (readonly [string, readonly string[]])[] = [
  ["loopback", ["127.0.0.1", "127.0.0.53", "127.255.255.254", "::1"]],
  ["unspecified and this network", ["0.0.0.0", "0.0.0.1", "0.255.255.255", "::"]],
  ["link-local", ["169.254.0.1", "169.254.169.254", "169.254.255.255", "fe80::1", "febf::1"]],
  [
    "private",
    [
      "10.0.0.1",
      "10.255.255.255",
      "172.16.0.1",
      "172.31.255.255",
      "192.168.0.1",
      "192.168.255.255",
      "fc00::1",
      "fdff::1",
    ],
  ],
  ["site-local", ["fec0::1", "feff::1"]],
  ["shared", ["100.64.0.1", "100.127.255.254"]],
  ["multicast", ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1", "ff00::"]],
  ["broadcast and reserved", ["255.255.255.255", "240.0.0.1", "255.255.255.254"]],
  [
    "documentation and benchmarking",
    ["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1", "3fff::1"],
  ],
  ["protocol assignments", ["192.0.0.1", "192.88.99.1", "2001::1", "100::1", "5f00::1"]],
  ["IPv4-compatible", ["::7f00:1", "::a09:909", "::c0a8:1", "::a9fe:a9fe", "::2"]],
  ["IPv4-translated", ["::ffff:0:127.0.0.1", "::ffff:0:10.9.9.9", "::ffff:0:192.168.0.1"]],
  [
    "NAT64",
    [
      "64:ff9b::127.0.0.1",
      "64:ff9b::10.9.9.9",
      "64:ff9b::192.168.0.1",
      "64:ff9b::169.254.169.254",
      "64:ff9b:1::10.0.0.1",
    ],
  ],
  ["6to4", ["2002:7f00:1::", "2002:a09:909::1", "2002:c0a8:1::1", "2002:a9fe:a9fe::1", "2002:e000:1::1"]],
  ["the gateway's own", ["10.9.9.9", "fd99::9", "10.3.3.1", "fd33::1", "10.1.0.1", "fd11::1"]],
  ["other customers", ["10.1.0.2", "10.1.0.3", "fd11::2"]],
  ["denied though allowed", [GATEWAY.denied, GATEWAY.denied6]],
];

describe("the gateway judges clients, destinations and messages", function () {
  this.timeout(30_000);
  let pair: Pair;
  let server: StreamServer;

  before(async () => {
    // The lab's servers have private addresses; the gateway's own inside them must stay closed all the same.
    pair = await gatewayUp(
      gatewayConfig("timeouts: { connect: 1500ms }")
        .replace("10.3.0.0/16", "10.3.3.2/31, 10.3.3.66/32, 10.3.3.99/32, 10.3.4.0/24")
        .replace('"fd33::/64"', '"fd33::2/128", "fd33::66/128"'),
    );
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  for (const transport of transports) {
    for (const [family, from, destination] of [
      ["IPv4", GATEWAY.client, GATEWAY.server],
      ["IPv6", GATEWAY.client6, GATEWAY.server6],
    ] as const) {
      for (const fastOpen of [false, true]) {
        it(`connects a customer over ${transport}, ${family}${fastOpen ? ", data in the SYN" : ""}`, async () => {
          const client = new ConvertClient(pair.lab, connectTo(destination, PORT), { transport, from, fastOpen });
          const { message = [] } = await client.answer();
          const far = await server.accept();
          far.resume();
          far.end("hello");
          expect((await client.payload(5)).toString()).to.equal("hello");
          // RFC 8803 section 6.2.6: what the server's kernel negotiated.
          const kinds = findTlv(message, "extendedTcpHeader")?.options.map(({ kind }) => kind);
          expect(kinds).to.have.members([3, 4]);
          client.close();
        });
      }
    }
  }

  for (const [family, from, destination] of [
    ["IPv4", GATEWAY.stranger, GATEWAY.server],
    ["IPv6", GATEWAY.stranger6, GATEWAY.server6],
  ] as const) {
    for (const transport of transports) {
      for (const fastOpen of [false, true]) {
        it(`refuses a stranger over ${transport}, ${family}${fastOpen ? ", data in the SYN" : ""}: error 32, no SYN`, async () => {
          await resetSyns(pair);
          const outcome = await ask(pair.lab, connectTo(destination, PORT), { transport, from, fastOpen });
          expect(errorCode(outcome)).to.equal(ERROR_CODE.notAuthorized);
          expect(outcome.end).to.equal("end");
          expect(await countSyns(pair)).to.equal(0);
        });
      }
    }
  }

  for (const [what, addresses] of FORBIDDEN) {
    it(`refuses ${what} (${addresses.length} spellings), and no SYN leaves`, async () => {
      await resetSyns(pair);
      const outcomes = await Promise.all(addresses.map((address) => ask(pair.lab, connectTo(address, PORT))));
      for (const [index, outcome] of outcomes.entries()) {
        expect(errorCode(outcome), addresses[index]).to.be.oneOf([
          ERROR_CODE.notAuthorized,
          ERROR_CODE.malformedMessage,
        ]);
      }
      expect(await countSyns(pair)).to.equal(0);
    });
  }

  it("refuses at least 60 forbidden spellings", () => {
    expect(FORBIDDEN.flatMap(([, addresses]) => addresses).length).to.be.at.least(60);
  });

  for (const destination of [GATEWAY.server, GATEWAY.server6, "2600::1"]) {
    it(`refuses port 0 of ${destination}, and no SYN leaves`, async () => {
      await resetSyns(pair);
      expect(errorCode(await ask(pair.lab, connectTo(destination, 0)))).to.equal(ERROR_CODE.malformedMessage);
      expect(await countSyns(pair)).to.equal(0);
    });
  }

  it("counts SYNs: an allowed destination costs one", async () => {
    await resetSyns(pair);
    await ask(pair.lab, connectTo(GATEWAY.server, PORT));
    (await server.accept()).destroy();
    expect(await countSyns(pair)).to.equal(1);
  });

  it("protects an address that it is given later, at once", async () => {
    const late = "203.0.114.77";
    await pair.lab.run("hag", ["ip", "addr", "add", `${late}/32`, "dev", "lo"]);
    // The kernel's notification is on its way: within a second, not the 5 of a poll.
    await eventually(1000, async () => {
      const outcome = await ask(pair.lab, connectTo(late, GATEWAY.port));
      expect(errorCode(outcome)).to.equal(ERROR_CODE.notAuthorized);
    });
  });

  /** Messages that are wrong, with the error that RFC 8803 section 6.2.8 has for them. */
  const ANSWERS: readonly (readonly [string, Uint8Array, number])[] = [
    ["version 2", fromHex("02 01 2263"), ERROR_CODE.unsupportedVersion],
    ["Total Length 0", fromHex("01 00 2263"), ERROR_CODE.malformedMessage],
    ["a TLV of length 0", fromHex("01 02 2263 01 00 0000"), ERROR_CODE.malformedMessage],
    ["a TLV beyond Total Length", fromHex("01 02 2263 0a 05 01bb"), ERROR_CODE.malformedMessage],
    ["Connect without an address", fromHex("01 02 2263 0a 01 01bb"), ERROR_CODE.malformedMessage],
    ["two Connect TLVs", twice(connectTo(GATEWAY.server, PORT)), ERROR_CODE.malformedMessage],
    ["an unknown TLV", fromHex("01 02 2263 63 01 0000"), ERROR_CODE.unsupportedMessage],
    ["a header alone", fromHex("01 01 2263"), ERROR_CODE.unsupportedMessage],
    ["an answer as a request", fromHex("01 02 2263 1e 01 61 00"), ERROR_CODE.unsupportedMessage],
    ["an option it cannot set", withOption(34, 1, 2, 3, 4), ERROR_CODE.unsupportedTcpOption],
    ["a port nobody listens on", connectTo(GATEWAY.server, CLOSED_PORT), ERROR_CODE.connectionReset],
    ["a port nobody listens on, IPv6", connectTo(GATEWAY.server6, CLOSED_PORT), ERROR_CODE.connectionReset],
    ["a server that never answers", connectTo(GATEWAY.dark, PORT), ERROR_CODE.networkFailure],
  ];
  for (const [what, request, code] of ANSWERS) {
    for (const transport of transports) {
      it(`answers ${what} with error ${code} over ${transport}`, async () => {
        const outcome = await ask(pair.lab, request, { transport });
        expect(errorCode(outcome)).to.equal(code);
        expect(outcome.end).to.equal("end");
      });
    }
  }

  it("answers a network without a route with error 97 and ICMP's code 0", async () => {
    const error = findTlv((await ask(pair.lab, connectTo("8.8.8.8", PORT))).message ?? [], "error");
    expect(error).to.deep.include({ code: ERROR_CODE.destinationUnreachable, value: Uint8Array.of(0) });
  });

  it("answers Info alone with what it supports, and Info beside Connect with both", async () => {
    const alone = await ask(pair.lab, emitConvertMessage([{ type: "info" }]));
    expect(alone.message).to.deep.equal([{ type: "supportedTcpExtensions", kinds: [3, 4, 8, 30] }]);
    const beside = await ask(pair.lab, connectTo(GATEWAY.server, PORT, { type: "info" }));
    (await server.accept()).destroy();
    expect(beside.message?.map(({ type }) => type)).to.deep.equal(["extendedTcpHeader", "supportedTcpExtensions"]);
  });

  it("says how many subflows a connection may have to a client that asks, and to no other", async () => {
    const asking = await ask(pair.lab, connectTo(GATEWAY.server, PORT, { type: "subflowLimit", subflows: 3 }));
    (await server.accept()).destroy();
    expect(findTlv(asking.message ?? [], "subflowLimit")).to.deep.equal({ type: "subflowLimit", subflows: 8 });
    const silent = await ask(pair.lab, connectTo(GATEWAY.server, PORT));
    (await server.accept()).destroy();
    expect(silent.message?.map(({ type }) => type)).to.deep.equal(["extendedTcpHeader"]);
  });

  for (const [what, bytes] of [
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["TLS", fromHex("160301020001 0001fc0303")],
    ["zeros", new Uint8Array(64)],
    ["another magic number", fromHex("01 01 2264")],
  ] as const) {
    for (const transport of transports) {
      it(`resets ${what} over ${transport}`, async () => {
        const client = new ConvertClient(pair.lab, bytes, { transport });
        const outcome = await client.ended();
        expect(outcome).to.deep.include({ message: undefined, end: "ECONNRESET" });
      });
    }
  }

  it("takes a message that comes byte by byte", async () => {
    const request = connectTo(GATEWAY.server, PORT);
    const client = new ConvertClient(pair.lab, request.subarray(0, 1));
    client.socket.setNoDelay(true);
    for (const byte of request.subarray(1)) await new Promise((done) => client.socket.write(Uint8Array.of(byte), done));
    expect(errorCode(await client.answer())).to.equal(undefined);
    (await server.accept()).destroy();
    client.close();
  });
});

/** The message with its TLVs twice. */
function twice(message: Uint8Array): Uint8Array {
  const doubled = Buffer.concat([message, message.subarray(4)]);
  doubled[1] = doubled.length / 4;
  return doubled;
}

function withOption(kind: number, ...data: number[]): Uint8Array {
  const peer = { address: ipAddress(GATEWAY.server), port: PORT };
  return emitConvertMessage([{ type: "connect", peer, options: [{ kind, data: Uint8Array.from(data) }] }]);
}
