import { fromHex, toHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { foldSum, pseudoHeaderSum } from "@hybrid-access/core/wire/checksum";
import {
  emitTcpPacket,
  parseTcpPacket,
  type TcpPacket,
  tcpPacketByteLength,
} from "@hybrid-access/core/wire/tcp/packet";
import {
  emitTcpSegment,
  hasSoundChecksum,
  parseTcpSegment,
  TCP_FLAG,
  type TcpSegment,
} from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import fc from "fast-check";
import { ipHeader, segment } from "../arbitrary-packet.ts";

/** More in a longer run: `WIRE_MUTATIONS=1000000 npx mocha -g "mutated packets"`. */
const MUTATIONS = Number(process.env.WIRE_MUTATIONS ?? 100_000);

const BETWEEN = { source: ipAddress("192.0.2.1"), destination: ipAddress("198.51.100.2") };

/** RFC 9293 section 3.1, worked out without this code; so is the checksum. */
const SYN: TcpSegment = {
  sourcePort: 49_152,
  destinationPort: 443,
  sequence: 0xfffffff0,
  acknowledgment: 0,
  flags: TCP_FLAG.syn | TCP_FLAG.ece | TCP_FLAG.cwr,
  window: 0xfaf0,
  urgentPointer: 0,
  options: [
    { type: "maximumSegmentSize", bytes: 1460 },
    { type: "windowScale", shift: 7 },
  ],
  payload: fromHex("68656c6c6f"),
};
const SYN_HEX = "c00001bb fffffff0 00000000 70c2faf0 e65c0000 01 020405b4 030307 68656c6c6f";

function emit(value: TcpSegment): Uint8Array {
  const bytes = new Uint8Array(100);
  const end = emitTcpSegment(value, BETWEEN, bytes, 0);
  expect(end).to.be.a("number");
  return bytes.subarray(0, end as number);
}

/** Options and payload of a packet may begin anywhere; only what breaks a rule is refused. */
function changed(changes: Readonly<Record<number, number>>): Uint8Array {
  const bytes = fromHex(SYN_HEX);
  for (const [at, value] of Object.entries(changes)) bytes[Number(at)] = value;
  return bytes;
}

describe("wire/tcp/segment", () => {
  it("RFC 9293 section 3.1: a SYN with data is these bytes, and these bytes are it", () => {
    expect(toHex(emit(SYN))).to.equal(toHex(fromHex(SYN_HEX)));
    expect(parseTcpSegment(fromHex(SYN_HEX))).to.deep.equal(SYN);
    expect(hasSoundChecksum(fromHex(SYN_HEX), BETWEEN)).to.equal(true);
  });

  it("has timestamps alone in the layout of RFC 7323 appendix A", () => {
    const bytes = emit({
      ...SYN,
      options: [{ type: "timestamps", value: 1, echoReply: 2 }],
      payload: new Uint8Array(),
    });
    expect(toHex(bytes.subarray(20))).to.equal("0101080a0000000100000002");
  });

  it("refuses what is not a segment, each with its reason", () => {
    const refused: readonly (readonly [string, Uint8Array])[] = [
      ["tcpLength", new Uint8Array()],
      ["tcpLength", fromHex(SYN_HEX).subarray(0, 19)],
      ["tcpDataOffset", changed({ 12: 0x40 })],
      ["tcpDataOffset", changed({ 12: 0x90 })],
      ["tcpOptionLength", changed({ 22: 0 })],
      ["tcpOptionLength", changed({ 26: 4 })],
    ];
    for (const [reason, bytes] of refused) expect(parseTcpSegment(bytes), toHex(bytes)).to.equal(reason);
    const packet: TcpPacket = {
      ip: {
        family: "ipv4",
        ...BETWEEN,
        protocol: 6,
        trafficClass: 0,
        hopLimit: 64,
        identification: 0,
        dontFragment: true,
      },
      segment: SYN,
    };
    const bytes = emitTcpPacket(packet);
    bytes[30] = 7;
    expect(parseTcpPacket(bytes)).to.equal("tcpChecksum");
    expect(parseTcpPacket(bytes, false)).to.be.an("object");
    expect(parseTcpPacket(emitTcpPacket({ ...packet, ip: { ...packet.ip, protocol: 17 } }))).to.equal("notTcp");
  });

  it("ignores the reserved bits", () => {
    expect(parseTcpSegment(changed({ 12: 0x7f }))).to.deep.equal(SYN);
  });

  it("says which options have no room, and writes nothing", () => {
    const left = { type: "joinAck", hmac: new Uint8Array(20) } as const;
    const options = [{ type: "timestamps", value: 1, echoReply: 2 } as const, left, left];
    const bytes = new Uint8Array(100);
    expect(emitTcpSegment({ ...SYN, options }, BETWEEN, bytes, 0)).to.deep.equal({ withoutRoom: [left] });
    expect(bytes).to.deep.equal(new Uint8Array(100));
  });

  it("leaves the pseudo header's sum to who completes the checksum", () => {
    const bytes = new Uint8Array(100);
    const end = emitTcpSegment(SYN, BETWEEN, bytes, 0, "partial") as number;
    const sum = foldSum(pseudoHeaderSum(BETWEEN.source, BETWEEN.destination, 6, end));
    expect(toHex(bytes.subarray(16, 18))).to.equal(sum.toString(16).padStart(4, "0"));
  });

  it("reads back what it writes in packets of both families, and sees any byte that was changed", () => {
    fc.assert(
      fc.property(ipHeader, segment, fc.nat(), fc.integer({ min: 1, max: 255 }), (ip, value, place, bits) => {
        const bytes = emitTcpPacket({ ip, segment: value });
        expect(bytes.length).to.equal(tcpPacketByteLength({ ip, segment: value }));
        expect(parseTcpPacket(bytes)).to.deep.equal({ ip, segment: value });
        const at = bytes.length - value.payload.length - 1 - (place % 20);
        bytes[at] = (bytes[at] ?? 0) ^ bits;
        expect(parseTcpPacket(bytes)).to.be.a("string");
      }),
      { numRuns: 2000 },
    );
  });

  it(`takes ${MUTATIONS} mutated packets without throwing, and what it takes it can write again`, function () {
    this.timeout(20_000 + MUTATIONS / 5);
    const mutation = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(ipHeader, segment, mutation, fc.nat(400), (ip, value, changes, cut) => {
        const bytes = emitTcpPacket({ ip, segment: value });
        for (const [place, byte] of changes) bytes[place % bytes.length] = byte;
        const read = parseTcpPacket(cut < bytes.length ? bytes.subarray(0, cut) : bytes, false);
        if (typeof read === "string") return;
        expect(parseTcpPacket(emitTcpPacket(read))).to.deep.equal(read);
      }),
      { numRuns: MUTATIONS },
    );
  });
});
