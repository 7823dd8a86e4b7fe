import { concatBytes, fromHex, toHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import {
  emitIcmpError,
  type IcmpReason,
  parseIcmpError,
  parseQuotedSegment,
  type QuotedSegment,
} from "@hybrid-access/core/wire/icmp";
import { IP_PROTOCOL, type IpHeader, type IpPacket, parseIpPacket } from "@hybrid-access/core/wire/ip-packet";
import { expect } from "chai";
import fc from "fast-check";
import { ipHeader, uint8, uint16, uint32 } from "./arbitrary-packet.ts";

const UNDELIVERED = fromHex("45000014 00004000 40060000 c0000201 c6336402 c00001bb fffffff0");
const ROUTER4: IpHeader = {
  family: "ipv4",
  source: ipAddress("203.0.113.9"),
  destination: ipAddress("192.0.2.1"),
  protocol: IP_PROTOCOL.icmp,
  trafficClass: 0,
  hopLimit: 64,
  identification: 0,
  dontFragment: false,
};
const ROUTER6: IpHeader = {
  family: "ipv6",
  source: ipAddress("2001:db8::9"),
  destination: ipAddress("2001:db8::1"),
  protocol: IP_PROTOCOL.icmpv6,
  trafficClass: 0,
  hopLimit: 64,
  flowLabel: 0,
};

function reasonFor(header: IpHeader): fc.Arbitrary<IcmpReason> {
  const notTooBig = header.family === "ipv4" ? uint8.filter((code) => code !== 4) : uint8;
  return fc.oneof(
    (header.family === "ipv4" ? uint16 : uint32).map((mtuBytes) => ({ type: "packetTooBig" as const, mtuBytes })),
    notTooBig.map((code) => ({ type: "unreachable" as const, code })),
    uint8.map((code) => ({ type: "timeExceeded" as const, code })),
  );
}

describe("wire/icmp", () => {
  it("RFC 1191 section 4, RFC 4443 section 3.2: packet too big is these bytes, and these bytes are it", () => {
    const reason: IcmpReason = { type: "packetTooBig", mtuBytes: 1280 };
    const expected = [
      [ROUTER4, "0304 84fc 0000 0500"],
      [ROUTER6, "0200 2a26 00000500"],
    ] as const;
    for (const [router, head] of expected) {
      const bytes = emitIcmpError(router, reason, UNDELIVERED);
      const packet = parseIpPacket(bytes) as IpPacket;
      expect(toHex(packet.payload)).to.equal(toHex(concatBytes([fromHex(head), UNDELIVERED])));
      expect(parseIcmpError(packet)).to.deep.equal({ reason, quoted: UNDELIVERED });
    }
  });

  it("reads back what it writes, with as much of the packet as 576 and 1280 bytes hold", () => {
    const error = ipHeader.chain((header) => fc.tuple(fc.constant(header), reasonFor(header)));
    fc.assert(
      fc.property(error, fc.uint8Array({ minLength: 8, maxLength: 1500, size: "max" }), ([header, reason], packet) => {
        const bytes = emitIcmpError(header, reason, packet);
        const room = header.family === "ipv4" ? 576 - 28 : 1280 - 48;
        const quoted = packet.subarray(0, room);
        expect(parseIcmpError(parseIpPacket(bytes) as IpPacket)).to.deep.equal({ reason, quoted });
      }),
    );
  });

  it("believes no error with a wrong checksum, and no other message", () => {
    for (const router of [ROUTER4, ROUTER6]) {
      const bytes = emitIcmpError(router, { type: "packetTooBig", mtuBytes: 1280 }, UNDELIVERED);
      const packet = parseIpPacket(bytes) as IpPacket;
      const echo = fromHex(router.family === "ipv4" ? "0800 f7ff 0000 0000" : "8000 0000 0000 0000");
      expect(parseIcmpError({ ...packet, payload: echo })).to.equal(undefined);
      expect(parseIcmpError({ ...packet, protocol: 6 })).to.equal(undefined);
      packet.payload[7] = 1;
      expect(parseIcmpError(packet)).to.equal(undefined);
    }
  });

  it("finds the segment that an error is about in its first 8 bytes", () => {
    const quoted: QuotedSegment = {
      source: { address: ipAddress("192.0.2.1"), port: 49_152 },
      destination: { address: ipAddress("198.51.100.2"), port: 443 },
      sequence: 0xfffffff0,
    };
    expect(parseQuotedSegment(UNDELIVERED)).to.deep.equal(quoted);
    expect(parseQuotedSegment(UNDELIVERED.subarray(0, 27))).to.equal(undefined);
    const udp = UNDELIVERED.slice();
    udp[9] = 17;
    expect(parseQuotedSegment(udp)).to.equal(undefined);
  });

  it("never throws on bytes from the network", () => {
    fc.assert(
      fc.property(ipHeader, fc.uint8Array({ maxLength: 80 }), (header, payload) => {
        for (const protocol of [IP_PROTOCOL.icmp, IP_PROTOCOL.icmpv6]) parseIcmpError({ ...header, protocol, payload });
        parseQuotedSegment(payload);
      }),
    );
  });
});
