import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { emitIcmpError, parseIcmpError, parseQuotedSegment } from "@hybrid-access/core/wire/icmp";
import { IP_PROTOCOL, type IpHeader, parseIpPacket } from "@hybrid-access/core/wire/ip-packet";
import { emitTcpPacket, parseTcpPacket, type TcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { destinationBytes, translateDestination } from "@hybrid-access/core/wire/translate-destination";
import { expect } from "chai";
import fc from "fast-check";

const FAMILIES = {
  ipv4: { server: ipAddress("192.0.2.80"), inside: ipAddress("198.18.84.1"), outside: ipAddress("203.0.113.7") },
  ipv6: { server: ipAddress("2001:db8::80"), inside: ipAddress("fd84:8684::1"), outside: ipAddress("2001:db8:7::7") },
} as const;

type Family = keyof typeof FAMILIES;

function header(family: Family, source: IpAddress, destination: IpAddress): IpHeader {
  const common = { source, destination, protocol: IP_PROTOCOL.tcp, trafficClass: 0, hopLimit: 60 };
  return family === "ipv4"
    ? { family, ...common, identification: 7, dontFragment: true }
    : { family, ...common, flowLabel: 5 };
}

function packet(family: Family, source: IpAddress, destination: IpAddress, payload = new Uint8Array(0)): TcpPacket {
  const ports = { sourcePort: 5124, destinationPort: 40_000 };
  const numbers = { sequence: 1, acknowledgment: 2, flags: 0x10, window: 1000, urgentPointer: 0 };
  return { ip: header(family, source, destination), segment: { ...ports, ...numbers, options: [], payload } };
}

describe("wire/translate-destination", () => {
  for (const family of ["ipv4", "ipv6"] as const) {
    const { server, inside, outside } = FAMILIES[family];

    it(`${family}: a segment is that of the other destination, its checksums included`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 100 }), (payload) => {
          const bytes = emitTcpPacket(packet(family, server, inside, payload));
          translateDestination(bytes, outside);
          expect(bytes).to.deep.equal(emitTcpPacket(packet(family, server, outside, payload)));
          expect(parseTcpPacket(bytes, true)).to.be.an("object");
        }),
      );
    });

    it(`${family}: an ICMP error is about a packet of the other address, its checksums included`, () => {
      const sent = emitTcpPacket(packet(family, inside, server, new Uint8Array(50)));
      const reason = { type: "packetTooBig", mtuBytes: 1400 } as const;
      const bytes = emitIcmpError(header(family, server, inside), reason, sent);
      translateDestination(bytes, outside);
      const ip = parseIpPacket(bytes);
      const error = typeof ip === "string" ? undefined : parseIcmpError(ip);
      expect(error?.reason).to.deep.equal(reason);
      const quoted = error && parseQuotedSegment(error.quoted);
      expect(quoted?.source.address).to.deep.equal(outside);
      expect(quoted?.destination.address).to.deep.equal(server);
      expect(destinationBytes(bytes)).to.deep.equal(family === "ipv4" ? outside.subarray(12) : outside);
    });

    it(`${family}: an ICMP error about somebody else's packet keeps what it quotes`, () => {
      const sent = emitTcpPacket(packet(family, outside, server));
      const bytes = emitIcmpError(header(family, server, inside), { type: "unreachable", code: 1 }, sent);
      translateDestination(bytes, ipAddress(family === "ipv4" ? "203.0.113.8" : "2001:db8:7::8"));
      const ip = parseIpPacket(bytes);
      const error = typeof ip === "string" ? undefined : parseIcmpError(ip);
      expect(error && parseQuotedSegment(error.quoted)?.source.address).to.deep.equal(outside);
    });
  }

  it("leaves a packet of the other family as it is", () => {
    const bytes = emitTcpPacket(packet("ipv4", FAMILIES.ipv4.server, FAMILIES.ipv4.inside));
    const before = bytes.slice();
    translateDestination(bytes, FAMILIES.ipv6.outside);
    expect(bytes).to.deep.equal(before);
  });

  it("never throws on bytes from the network, and changes no length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom<Family>("ipv4", "ipv6"), (bytes, family) => {
        if (bytes.length > 0) bytes[0] = (family === "ipv4" ? 0x40 : 0x60) | ((bytes[0] ?? 0) & 15);
        translateDestination(bytes, FAMILIES[family].outside);
      }),
      { numRuns: 5000 },
    );
  });
});
