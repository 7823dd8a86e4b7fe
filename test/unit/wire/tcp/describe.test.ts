import { fromHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { describePacket, describeSegment } from "@hybrid-access/core/wire/tcp/describe";
import { emitTcpPacket, type TcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_FLAG } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import fc from "fast-check";
import { ipHeader, segment } from "../arbitrary-packet.ts";

const PACKET: TcpPacket = {
  ip: {
    family: "ipv6",
    source: ipAddress("2001:db8::1"),
    destination: ipAddress("2001:db8::2"),
    protocol: 6,
    trafficClass: 0,
    hopLimit: 64,
    flowLabel: 0,
  },
  segment: {
    sourcePort: 40_000,
    destinationPort: 443,
    sequence: 0xffffffff,
    acknowledgment: 7,
    flags: TCP_FLAG.psh | TCP_FLAG.ack,
    window: 512,
    urgentPointer: 0,
    options: [
      { type: "timestamps", value: 1, echoReply: 2 },
      {
        type: "dss",
        dataAck: { octets: 4, value: 9n },
        mapping: {
          sequence: { octets: 8, value: 10n },
          subflowSequence: 3,
          length: 5,
          dataFin: true,
          checksum: 0xbeef,
        },
      },
    ],
    payload: fromHex("68656c6c6f"),
  },
};

describe("wire/tcp/describe", () => {
  it("shows a packet as tcpdump would", () => {
    expect(describePacket(emitTcpPacket(PACKET))).to.equal(
      "[2001:db8::1]:40000 > [2001:db8::2]:443 [P.], seq 4294967295:4, ack 7, win 512, " +
        "options [TS val 1 ecr 2, mptcp dss fin ack 9/32 seq 10 subseq 3 len 5 csum beef], length 5",
    );
  });

  it("shows what would be refused, and why", () => {
    const wrong = emitTcpPacket(PACKET);
    wrong[wrong.length - 1] = 0;
    expect(describePacket(wrong)).to.match(/length 5, bad checksum$/);
    expect(describePacket(fromHex("45"))).to.equal("ipLength, length 1: 45");
    const cut = emitTcpPacket({ ...PACKET, ip: { ...PACKET.ip, protocol: 17 } });
    expect(describePacket(cut)).to.match(/^2001:db8::1 > 2001:db8::2 protocol 17 notTcp, length 101: 60000000/);
  });

  it("has one line for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(describePacket(bytes)).to.match(/^[^\n]+$/);
      }),
    );
    fc.assert(
      fc.property(ipHeader, segment, (ip, value) => {
        expect(describePacket(emitTcpPacket({ ip, segment: value }))).to.contain(describeSegment(value));
      }),
    );
  });
});
