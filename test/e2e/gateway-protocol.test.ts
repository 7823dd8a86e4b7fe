import { createServer, type Server } from "node:net";
import { readUint16 } from "@hybrid-access/core/base/bytes";
import { echoError, emitConvertMessage, findTlv, parseConvertMessage } from "@hybrid-access/core/wire/convert/message";
import type { Tlv } from "@hybrid-access/core/wire/convert/tlv";
import { expect } from "chai";
import type { Context } from "mocha";
import { readPcapng } from "../lab/capture.ts";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { ADDRESS, access, hybridTopology } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { openPlainListener } from "../lab/stream.ts";
import { PeerServer, visit } from "../lab/visit.ts";

const PORT = 7000;
const GATEWAY = "10.3.3.1";
const GATEWAY_PORT = 5124;

/** Long enough that a round trip more shows. */
const ROUND_TRIP_MS = 200;
const TOPOLOGY = hybridTopology({
  dsl: { down: access(50, ROUND_TRIP_MS / 2), up: access(50, ROUND_TRIP_MS / 2) },
  lte: { down: access(50, ROUND_TRIP_MS / 2), up: access(50, ROUND_TRIP_MS / 2) },
});

/** A host that stands still for half a round trip adds a flight: the least of several counts. */
const ATTEMPTS = 3;

const PATIENT = `${HCPE_CONFIG}\ntimeouts: { gateway: 10s }\n`;
const DROP_MULTIPATH_SYNS = `table inet strip {
  chain input {
    type filter hook prerouting priority raw;
    tcp dport ${GATEWAY_PORT} tcp flags & (syn|ack) == syn tcp option 30 exists drop
  }
}
`;

const SYN = 0x02;
const ACK = 0x10;

/** A TCP segment of a capture. */
interface Segment {
  readonly source: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly flags: number;
  readonly data: Uint8Array;
}

/** The TCP segments in a capture of IPv4 packets. */
function segmentsOf(packets: readonly Uint8Array[]): Segment[] {
  return packets.flatMap((packet) => {
    if ((packet[0] ?? 0) >> 4 !== 4 || packet[9] !== 6) return [];
    const tcp = packet.subarray(((packet[0] ?? 0) & 0x0f) * 4, readUint16(packet, 2));
    return {
      source: packet.subarray(12, 16).join("."),
      sourcePort: readUint16(tcp, 0),
      destinationPort: readUint16(tcp, 2),
      flags: tcp[13] ?? 0,
      data: tcp.subarray(((tcp[12] ?? 0) >> 4) * 4),
    };
  });
}

/** The SYNs to the gateway's port. */
function synsToGateway(packets: readonly Uint8Array[]): Segment[] {
  return segmentsOf(packets).filter(
    ({ destinationPort, flags }) => destinationPort === GATEWAY_PORT && (flags & (SYN | ACK)) === SYN,
  );
}

/**
 * How often the home had to send before the server had the request and answered it: its flights toward `port`, a lone
 * acknowledgement too, before `answer` comes back. What comes from there ends a flight.
 */
function flightsBefore(answer: string, port: number, packets: readonly Uint8Array[]): number {
  let flights = 0;
  let isAnswered = true;
  for (const { sourcePort, destinationPort, data } of segmentsOf(packets)) {
    if (sourcePort === port) {
      if (Buffer.from(data).includes(answer)) return flights;
      isAnswered = true;
    } else if (destinationPort === port) {
      if (isAnswered) flights += 1;
      isAnswered = false;
    }
  }
  throw new Error(`the answer ${answer} is not in the capture`);
}

describe("the HCPE's connection to the gateway", function () {
  this.timeout(30_000);
  let pair: Pair;
  let server: PeerServer;

  before(async () => {
    pair = await Pair.up({ topology: TOPOLOGY });
    server = new PeerServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  const go = () => visit(pair.lab, ADDRESS.server, PORT);
  const counters = async () => (await pair.status("hcpe")).counters;

  /** Skips a test where one of the hosts does not allow Fast Open. */
  async function needsFastOpen(test: Context): Promise<void> {
    for (const [daemon, capability] of [
      ["hcpe", "fastOpenConnect"],
      ["hag", "fastOpenListen"],
    ] as const) {
      const { available } = (await pair.status(daemon)).capabilities[capability] ?? { available: false };
      if (available) continue;
      process.stdout.write(`      skipped: ${daemon} lacks ${capability}\n`);
      test.skip();
    }
  }

  /** What DSL carries meanwhile. */
  async function captured(name: string, action: () => Promise<unknown>): Promise<Uint8Array[]> {
    const file = `${name}.pcapng`;
    await pair.lab.capture("dsl", pair.file(file));
    await action();
    await pair.lab.capture("dsl", null);
    return readPcapng(pair.readFile(file));
  }

  it("carries the Convert message in its SYN, where both hosts allow Fast Open", async function () {
    await needsFastOpen(this);
    const packets = await captured("fast-open", async () => expect((await go()).peer).to.equal(GATEWAY));
    const [syn] = synsToGateway(packets);
    expect(syn?.source).to.equal(ADDRESS.dsl);
    const result = parseConvertMessage(syn?.data ?? new Uint8Array());
    expect(result.outcome).to.equal("message");
  });

  it("brings the request to the server after as many round trips as a direct connection, as a capture shows", async function () {
    await needsFastOpen(this);
    const direct: number[] = [];
    const carried: number[] = [];
    for (let count = 0; count < ATTEMPTS; count++) {
      const past = await captured("direct", () => visit(pair.lab, ADDRESS.server, PORT, { from: "hcpe" }));
      direct.push(flightsBefore(ADDRESS.dsl, PORT, past));
      const through = await captured("carried", async () => expect((await go()).peer).to.equal(GATEWAY));
      carried.push(flightsBefore(GATEWAY, GATEWAY_PORT, through));
    }
    expect(Math.min(...direct), "direct").to.equal(2);
    expect(Math.min(...carried), "carried").to.equal(2);
  });

  it("brings the answer to a request after as many round trips as a direct connection, by the clock", async () => {
    const direct = await visit(pair.lab, ADDRESS.server, PORT, { from: "hcpe" });
    const carried = await go();
    expect(carried.peer).to.equal(GATEWAY);
    expect(direct.firstByteMs).to.be.within(2 * ROUND_TRIP_MS, 2.5 * ROUND_TRIP_MS);
    expect(carried.firstByteMs).to.be.within(2 * ROUND_TRIP_MS, 2.5 * ROUND_TRIP_MS);
  });

  it("is counted by what became of it: Multipath TCP so far, and nothing else", async () => {
    const counted = await counters();
    expect(counted.connectionsMultipath).to.equal(counted.connectionsAccepted);
    expect(counted).to.include({ connectionsPlain: 0, fallbackPeerWithoutMptcp: 0, fallbackSynDropped: 0 });
  });

  it("falls back once where the gateway's host takes no data in the SYN, and then does without Fast Open", async function () {
    kernelOnly(this, "net.ipv4.tcp_fastopen is the kernel's");
    await pair.lab.run("hag", ["sysctl", "-qw", "net.ipv4.tcp_fastopen=0"]);
    const before = await counters();
    for (let count = 0; count < 4; count++) expect((await go()).peer).to.equal(GATEWAY);
    await pair.lab.run("hag", ["sysctl", "-qw", "net.ipv4.tcp_fastopen=3"]);
    const after = await counters();
    expect(after.connectionsPlain).to.equal((before.connectionsPlain ?? 0) + 1);
    expect(after.connectionsMultipath).to.equal((before.connectionsMultipath ?? 0) + 3);
  });

  it("is counted as a fallback because SYNs with the option were dropped", async function () {
    await pair.daemon("hcpe").end("SIGTERM");
    await pair.start("hcpe", PATIENT);
    try {
      await pair.lab.run("hag", ["nft", "-f", "-"], { input: DROP_MULTIPATH_SYNS });
    } catch (error) {
      if (/syntax error/.test(String(error))) {
        process.stdout.write("      skipped: this nft cannot match Multipath TCP options\n");
        this.skip();
      }
      throw error;
    }
    expect((await go()).peer).to.equal(GATEWAY);
    await pair.lab.run("hag", ["nft", "delete", "table", "inet", "strip"]);
    expect(await counters()).to.include({ connectionsPlain: 1, fallbackSynDropped: 1, fallbackPeerWithoutMptcp: 0 });
  });

  it("is counted as a fallback because the gateway's host does without Multipath TCP", async () => {
    const before = await counters();
    await pair.daemon("hag").end("SIGTERM");
    const plain = plainGateway(pair.lab.inside("hag", () => openPlainListener(GATEWAY_PORT)));
    const { peer } = await go();
    plain.close();
    expect(peer).to.equal("echo");
    const after = await counters();
    expect(after.fallbackPeerWithoutMptcp).to.equal((before.fallbackPeerWithoutMptcp ?? 0) + 1);
    expect(after.connectionsPlain).to.equal((before.connectionsPlain ?? 0) + 1);
    expect(after.fallbackSynDropped).to.equal(before.fallbackSynDropped);
    await pair.start("hag", HAG_CONFIG);
  });

  it("does without a private TLV that the gateway does not know, and sends it no other for a while", async () => {
    await pair.daemon("hag").end("SIGTERM");
    const requests: boolean[] = [];
    const plain = plainGateway(
      pair.lab.inside("hag", () => openPlainListener(GATEWAY_PORT)),
      (request) => {
        const result = parseConvertMessage(request);
        const asks = result.outcome === "message" && findTlv(result.message, "subflowLimit") !== undefined;
        requests.push(asks);
        return asks ? echoError("unsupportedMessage", request) : undefined;
      },
    );
    for (let count = 0; count < 2; count++) expect((await go()).peer).to.equal("echo");
    plain.close();
    expect(requests).to.deep.equal([true, false, false]);
    await pair.start("hag", HAG_CONFIG);
  });
});

/** A gateway over plain TCP that claims to have reached every server, and answers in its place, or with an error. */
function plainGateway(fd: number, judge: (request: Uint8Array) => Tlv | undefined = () => undefined): Server {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (request: Buffer) => {
      const error = judge(request);
      if (error !== undefined) return socket.end(emitConvertMessage([error]));
      socket.write(emitConvertMessage([{ type: "extendedTcpHeader", options: [] }]));
      socket.write("echo");
    });
  });
  return server.listen({ fd });
}
