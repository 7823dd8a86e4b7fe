import { fromHex, writeUint16, writeUint32 } from "@hybrid-access/core/base/bytes";
import { ipAddress, networkBytes } from "@hybrid-access/core/base/ip-address";
import { flowId, parseSteeredPacket } from "@hybrid-access/core/wire/steered-packet";
import { expect } from "chai";
import fc from "fast-check";

const SYN = 0x02;
const ACK = 0x10;
const FROM = ipAddress("10.1.1.2");
const FROM6 = ipAddress("fd11::2");

/** TCP options, padded to whole words. */
function tcp(flags: number, options: Uint8Array): Uint8Array {
  const padded = (options.length + 3) & ~3;
  const bytes = new Uint8Array(20 + padded);
  writeUint16(bytes, 0, 49_152);
  writeUint16(bytes, 2, 5124);
  bytes[12] = (bytes.length / 4) << 4;
  bytes[13] = flags;
  bytes.set(options, 20);
  return bytes;
}

function ipv4(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(20 + payload.length);
  bytes[0] = 0x45;
  bytes[9] = 6;
  bytes.set(networkBytes(FROM), 12);
  bytes.set(payload, 20);
  return bytes;
}

function ipv6(payload: Uint8Array, extension: Uint8Array = new Uint8Array(), next = 6): Uint8Array {
  const bytes = new Uint8Array(40 + extension.length + payload.length);
  bytes[0] = 0x60;
  bytes[6] = next;
  bytes.set(networkBytes(FROM6), 8);
  bytes.set(extension, 40);
  bytes.set(payload, 40 + extension.length);
  return bytes;
}

/** RFC 8684 section 3.2, figure 5: kind 30, length 12, subtype 1 and B flag, address identifier, token, nonce. */
function join(token: number): Uint8Array {
  const option = fromHex("1e0c1002 00000000 11223344");
  writeUint32(option, 4, token);
  return option;
}

/** RFC 8684 section 3.1: MP_CAPABLE version 1 in a SYN. */
const CAPABLE = fromHex("1e040181");

describe("wire/steered-packet", () => {
  it("tells a join and its token, in IPv4 and IPv6", () => {
    for (const packet of [ipv4(tcp(SYN, join(0xfedcba98))), ipv6(tcp(SYN, join(0xfedcba98)))]) {
      expect(parseSteeredPacket(packet)).to.deep.include({ port: 5124, kind: { type: "join", token: 0xfedcba98 } });
    }
    expect(parseSteeredPacket(ipv4(tcp(SYN, join(1))))?.client).to.deep.equal({ address: FROM, port: 49_152 });
  });

  it("finds the join behind the options that Linux sends before it", () => {
    // Maximum segment size, SACK permitted, timestamps, no-operation, window scale.
    const before = fromHex("020405b4 0402 080a0000000100000000 01 030307");
    const packet = ipv4(tcp(SYN, Uint8Array.from([...before, ...join(7)])));
    expect(parseSteeredPacket(packet)?.kind).to.deep.equal({ type: "join", token: 7 });
  });

  it("takes every other SYN for a new connection", () => {
    const syns = [
      new Uint8Array(),
      CAPABLE,
      Uint8Array.from([...CAPABLE, ...join(7)]),
      join(7).subarray(0, 8),
      fromHex("1e10100200000007112233445566778800000000"),
      fromHex("1e00"),
      fromHex("1e"),
      fromHex("00 1e0c1002 00000007 11223344"),
      fromHex("05ff 1e0c1002 00000007 11223344"),
    ];
    for (const options of syns)
      expect(parseSteeredPacket(ipv4(tcp(SYN, options)))?.kind).to.deep.equal({ type: "connect" });
  });

  it("tells packets of subflows from packets of plain connections", () => {
    const dss = fromHex("1e082001 00000001");
    expect(parseSteeredPacket(ipv4(tcp(ACK, dss)))?.kind).to.deep.equal({ type: "data", multipath: true });
    expect(parseSteeredPacket(ipv4(tcp(ACK, fromHex("0101"))))?.kind).to.deep.equal({ type: "data", multipath: false });
    expect(parseSteeredPacket(ipv4(tcp(SYN | ACK, CAPABLE)))?.kind).to.deep.equal({ type: "data", multipath: true });
  });

  it("finds the gateway's key in the third ACK, and only in one of version 1 with HMAC-SHA256", () => {
    // RFC 8684 section 3.1, figure 4: the sender's key, the receiver's key, and the length of data.
    const keys = "1111111111111111 0102030405060708";
    const key = fromHex("0102030405060708");
    for (const option of [`1e140181 ${keys}`, `1e160181 ${keys} 0064`, `1e180101 ${keys} 0064 abcd`]) {
      const kind = { type: "data", multipath: true, gatewayKey: key };
      expect(parseSteeredPacket(ipv4(tcp(ACK, fromHex(option))))?.kind).to.deep.equal(kind);
      expect(parseSteeredPacket(ipv6(tcp(ACK, fromHex(option))))?.kind).to.deep.equal(kind);
    }
    for (const option of [`1e140081 ${keys}`, `1e140180 ${keys}`, "1e0c0181 1111111111111111"]) {
      const kind = parseSteeredPacket(ipv4(tcp(ACK, fromHex(option))))?.kind;
      expect(kind).to.include({ type: "data" }).and.not.have.property("gatewayKey");
    }
  });

  it("skips IPv6 extension headers", () => {
    const destinationOptions = fromHex("0600 010400000000");
    const packet = ipv6(tcp(SYN, join(7)), destinationOptions, 60);
    expect(parseSteeredPacket(packet)?.kind).to.deep.equal({ type: "join", token: 7 });
  });

  it("gives nothing for what is no TCP header", () => {
    const udp = ipv4(tcp(SYN, CAPABLE));
    udp[9] = 17;
    const fragment = ipv4(tcp(SYN, CAPABLE));
    fragment[7] = 1;
    for (const packet of [udp, fragment, new Uint8Array(), fromHex("45"), ipv4(new Uint8Array(19))]) {
      expect(parseSteeredPacket(packet)).to.equal(undefined);
    }
  });

  it("never throws, and never makes a join of a SYN without one", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (options, six) => {
        const packet = six ? ipv6(tcp(SYN, options)) : ipv4(tcp(SYN, options));
        const kind = parseSteeredPacket(packet)?.kind;
        expect(kind?.type).to.be.oneOf(["connect", "join"]);
        if (kind?.type === "join") expect(options.length).to.be.at.least(12);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (packet) => {
        parseSteeredPacket(packet);
      }),
    );
  });

  it("finds every join among well-formed options, wherever it stands", () => {
    const other = fc
      .tuple(fc.integer({ min: 2, max: 29 }), fc.uint8Array({ maxLength: 8 }))
      .map(([kind, data]) => [kind, data.length + 2, ...data]);
    fc.assert(
      fc.property(
        fc.array(other, { maxLength: 3 }),
        fc.nat(3),
        fc.integer({ min: 0, max: 0xffffffff }),
        (others, at, token) => {
          const options = others.toSpliced(at, 0, Array.from(join(token))).flat();
          fc.pre(options.length <= 40);
          expect(parseSteeredPacket(ipv4(tcp(SYN, Uint8Array.from(options))))?.kind).to.deep.equal({
            type: "join",
            token,
          });
        },
      ),
    );
  });

  it("names flows by client and ports", () => {
    expect(flowId({ address: FROM, port: 49_152 }, 5124)).to.equal("0a010102c0001404");
    expect(flowId({ address: FROM6, port: 1 }, 2)).to.equal("fd110000000000000000000000000002" + "00010002");
  });
});
