import { concatBytes, fromHex, toHex, writeUint16 } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { checksumOfSum, sumWords } from "@hybrid-access/core/wire/checksum";
import {
  emitIpHeader,
  findTransport,
  type IpHeader,
  type IpPacket,
  ipHeaderBytes,
  MOST_EXTENSION_HEADERS,
  parseIpPacket,
} from "@hybrid-access/core/wire/ip-packet";
import { expect } from "chai";
import fc from "fast-check";
import { ipHeader } from "./arbitrary-packet.ts";

function emit(header: IpHeader, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ipHeaderBytes(header) + payload.length);
  bytes.set(payload, emitIpHeader(header, payload.length, bytes, 0));
  return bytes;
}

/** Byte vectors worked out by hand from the figures of the RFCs; the payload is the two bytes abcd. */
const VECTORS: readonly { section: string; header: IpHeader; hex: string }[] = [
  {
    section: "RFC 791 section 3.1: version 4, five words, DSCP EF with ECT(0), don't fragment, TTL 64, TCP",
    header: {
      family: "ipv4",
      source: ipAddress("192.0.2.1"),
      destination: ipAddress("198.51.100.2"),
      protocol: 6,
      trafficClass: 0xba,
      hopLimit: 64,
      identification: 0x1234,
      dontFragment: true,
    },
    hex: "45ba0016 12344000 40063bbd c0000201 c6336402",
  },
  {
    section: "RFC 8200 section 3: version 6, traffic class 0xba, flow label 0x12345, hop limit 64, TCP",
    header: {
      family: "ipv6",
      source: ipAddress("2001:db8::1"),
      destination: ipAddress("2001:db8::2"),
      protocol: 6,
      trafficClass: 0xba,
      hopLimit: 64,
      flowLabel: 0x12345,
    },
    hex: "6ba12345 0002 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002",
  },
];

/** An IPv6 packet of protocol TCP with these extension headers, each given by its number and bytes. */
function withExtensions(extensions: readonly (readonly [number, string])[], payload = "abcd"): Uint8Array {
  const bodies = extensions.map(([, hex], index) => {
    const bytes = fromHex(hex);
    bytes[0] = extensions[index + 1]?.[0] ?? 6;
    return bytes;
  });
  const rest = concatBytes([...bodies, fromHex(payload)]);
  const packet = concatBytes([fromHex(VECTORS[1]?.hex ?? ""), rest]);
  writeUint16(packet, 4, rest.length);
  packet[6] = extensions[0]?.[0] ?? 6;
  return packet;
}

const OPTIONS = "00 00 010400000000";

/** Sets bytes of the IPv4 vector and makes its checksum right again. */
function changed(changes: Readonly<Record<number, number>>, payload = "abcd"): Uint8Array {
  const packet = concatBytes([fromHex(VECTORS[0]?.hex ?? ""), fromHex(payload)]);
  for (const [at, value] of Object.entries(changes)) packet[Number(at)] = value;
  writeUint16(packet, 10, 0);
  writeUint16(packet, 10, checksumOfSum(sumWords(packet, 0, 4 * ((packet[0] ?? 0) & 15))));
  return packet;
}

describe("wire/ip-packet", () => {
  for (const { section, header, hex } of VECTORS) {
    it(`${section} is these bytes, and these bytes are it`, () => {
      const payload = fromHex("abcd");
      const bytes = concatBytes([fromHex(hex), payload]);
      expect(toHex(emit(header, payload))).to.equal(toHex(bytes));
      expect(parseIpPacket(bytes)).to.deep.equal({ ...header, payload });
    });
  }

  it("reads back what it writes, whatever follows it", () => {
    fc.assert(
      fc.property(
        ipHeader,
        fc.uint8Array({ maxLength: 40 }),
        fc.uint8Array({ maxLength: 4 }),
        (header, payload, rest) => {
          const bytes = emit(header, payload);
          const read = parseIpPacket(concatBytes([bytes, rest]));
          expect(read).to.deep.equal({ ...header, payload });
          expect(findTransport(bytes)).to.deep.equal({ protocol: header.protocol, offset: ipHeaderBytes(header) });
        },
      ),
    );
  });

  it("skips IPv4 options, and the IPv6 extension headers that say nothing about TCP", () => {
    const payload = (packet: Uint8Array) => toHex((parseIpPacket(packet) as IpPacket).payload);
    // Six words: the payload's first four bytes are two no-operations and two ends of the list.
    expect(payload(changed({ 0: 0x46, 3: 0x1a }, "01010000 ffff"))).to.equal("ffff");
    const headers = [0, 43, 60].map((number) => [number, OPTIONS] as const);
    expect(payload(withExtensions(headers))).to.equal("abcd");
    expect(payload(withExtensions([[44, "00 00 0000 12345678"]]))).to.equal("abcd");
  });

  it("refuses what is not a whole packet, each with its reason", () => {
    const four = changed({});
    const six = withExtensions([]);
    const bad = four.slice();
    bad[8] = 63;
    const many = Array.from({ length: MOST_EXTENSION_HEADERS + 1 }, () => [60, OPTIONS] as const);
    const refused: readonly (readonly [string, Uint8Array])[] = [
      ["ipVersion", new Uint8Array()],
      ["ipVersion", changed({ 0: 0x55 })],
      ["ipLength", changed({ 0: 0x44 })],
      ["ipLength", changed({ 3: 0x13 })],
      ["ipLength", changed({ 3: 0x17 })],
      ["ipLength", four.subarray(0, 19)],
      ["ipLength", six.subarray(0, 39)],
      ["ipLength", six.subarray(0, 41)],
      ["ipLength", withExtensions([[0, "00 01 010400000000"]])],
      ["ipLength", withExtensions([[0, OPTIONS]], "").subarray(0, 47)],
      ["ipChecksum", bad],
      ["ipFragment", changed({ 6: 0x20 })],
      ["ipFragment", changed({ 6: 0, 7: 1 })],
      ["ipFragment", withExtensions([[44, "00 00 0008 12345678"]])],
      ["ipFragment", withExtensions([[44, "00 00 0001 12345678"]])],
      ["ipExtension", withExtensions(many)],
    ];
    for (const [reason, packet] of refused) expect(parseIpPacket(packet), toHex(packet)).to.equal(reason);
    expect(parseIpPacket(withExtensions(many.slice(1)))).to.be.an("object");
  });

  it("takes a header that it does not know for a transport", () => {
    const packet = withExtensions([[135, OPTIONS]]);
    expect((parseIpPacket(packet) as IpPacket).protocol).to.equal(135);
  });
});
