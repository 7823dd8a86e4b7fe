import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { Nat } from "@hybrid-access/core/testing/middlebox/nat";
import { emitIcmpError, parseIcmpError, parseQuotedSegment } from "@hybrid-access/core/wire/icmp";
import { type IpPacket, parseIpPacket } from "@hybrid-access/core/wire/ip-packet";
import { emitTcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { expect } from "chai";
import { CLIENT, pass, SERVER, SYN, SYN_ACK, tcp } from "./segments.ts";

const OUTSIDE = ipAddress("198.51.100.9");
const ROUTER = ipAddress("192.0.2.254");

describe("testing/middlebox: NAT", () => {
  it("gives each connection an address and port of its own, and brings the answers back", () => {
    const box = new Nat({ address: OUTSIDE });
    const [first] = pass(box, "forward", SYN);
    const [second] = pass(box, "forward", { ...SYN, sourcePort: 40_001 });
    expect(first?.ip.source).to.deep.equal(OUTSIDE);
    expect(second?.segment.sourcePort).to.not.equal(first?.segment.sourcePort);
    for (const [seen, port] of [[first, 40_000] as const, [second, 40_001] as const]) {
      const answer = { ...SYN_ACK, destinationPort: seen?.segment.sourcePort ?? 0 };
      const [back] = pass(box, "backward", answer);
      expect(back?.ip.destination).to.deep.equal(CLIENT.address);
      expect(back?.segment.destinationPort).to.equal(port);
    }
  });

  it("keeps the port of a connection, and lets in nothing that did not go out before", () => {
    const box = new Nat({ address: OUTSIDE });
    const [first] = pass(box, "forward", SYN);
    expect(pass(box, "forward")[0]?.segment.sourcePort).to.equal(first?.segment.sourcePort);
    const destinationPort = first?.segment.sourcePort ?? 0;
    expect(pass(box, "backward", { destinationPort: destinationPort + 1 })).to.have.length(0);
    expect(pass(box, "backward", { destinationPort, sourcePort: 80 })).to.have.length(0);
  });

  it("forgets a connection that was silent for too long, both ways", () => {
    const box = new Nat({ address: OUTSIDE, idleMs: 1000 });
    const [first] = pass(box, "forward", SYN, 0);
    const destinationPort = first?.segment.sourcePort ?? 0;
    expect(pass(box, "backward", { destinationPort }, 900)).to.have.length(1);
    expect(pass(box, "backward", { destinationPort }, 1901)).to.have.length(0);
    expect(pass(box, "forward", {}, 1901)[0]?.segment.sourcePort).to.not.equal(destinationPort);
  });

  it("translates an ICMP error and the packet it is about", () => {
    const box = new Nat({ address: OUTSIDE });
    const [sent] = pass(box, "forward", SYN);
    if (sent === undefined) throw new RangeError("nothing came out");
    const header = { ...tcp("backward").ip, source: ROUTER, destination: OUTSIDE };
    const error = emitIcmpError(header, { type: "packetTooBig", mtuBytes: 1280 }, emitTcpPacket(sent));
    const [back] = box.onPacket(0, error, "backward");
    const ip = parseIpPacket(back?.packet ?? new Uint8Array()) as IpPacket;
    const read = parseIcmpError(ip);
    expect(ip.destination).to.deep.equal(CLIENT.address);
    expect(read?.reason).to.deep.equal({ type: "packetTooBig", mtuBytes: 1280 });
    expect(read && parseQuotedSegment(read.quoted)).to.deep.equal({
      source: CLIENT,
      destination: SERVER,
      sequence: 999,
    });
    const strange = emitIcmpError(header, { type: "packetTooBig", mtuBytes: 1280 }, emitTcpPacket(tcp("forward")));
    expect(box.onPacket(0, strange, "backward")).to.have.length(0);
  });
});
