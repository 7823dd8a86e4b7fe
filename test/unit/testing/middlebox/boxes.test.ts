import { fromHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { SeededRandom } from "@hybrid-access/core/base/random";
import { Coalescer } from "@hybrid-access/core/testing/middlebox/coalescer";
import { EarlyAcker } from "@hybrid-access/core/testing/middlebox/early-acker";
import { Firewall } from "@hybrid-access/core/testing/middlebox/firewall";
import { MtuLimit } from "@hybrid-access/core/testing/middlebox/mtu-limit";
import { OptionStripper } from "@hybrid-access/core/testing/middlebox/option-stripper";
import { SequenceRewriter } from "@hybrid-access/core/testing/middlebox/sequence-rewriter";
import { Splitter } from "@hybrid-access/core/testing/middlebox/splitter";
import { SynDropper } from "@hybrid-access/core/testing/middlebox/syn-dropper";
import { parseIcmpError } from "@hybrid-access/core/wire/icmp";
import { type IpPacket, parseIpPacket } from "@hybrid-access/core/wire/ip-packet";
import type { SegmentOption } from "@hybrid-access/core/wire/tcp/options";
import { emitTcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_FLAG } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { pass, read, SYN, SYN_ACK, tcp, text } from "./segments.ts";

const CAPABLE: SegmentOption = { type: "capable", version: 1, flags: 1 };
const MSS: SegmentOption = { type: "maximumSegmentSize", bytes: 1460 };
const DSS: SegmentOption = { type: "dss", dataAck: { octets: 4, value: 7n } };
const TIMESTAMPS: SegmentOption = { type: "timestamps", value: 1, echoReply: 2 };

describe("testing/middlebox: option stripper", () => {
  it("takes Multipath TCP from the segments that it is told, and nothing else from any", () => {
    const options = [MSS, CAPABLE, TIMESTAMPS];
    const kept = (from: "syn" | "synAck" | "thirdAck" | "data" | "ack") => {
      const box = new OptionStripper({ options: ["multipath"], from: [from] });
      return [
        pass(box, "forward", { ...SYN, options }),
        pass(box, "backward", { ...SYN_ACK, options }),
        pass(box, "forward", { options }),
        pass(box, "forward", { options, payload: text("x") }),
        pass(box, "backward", { options }),
      ].map(([seen]) => seen?.segment.options.length);
    };
    expect(kept("syn")).to.deep.equal([2, 3, 3, 3, 3]);
    expect(kept("synAck")).to.deep.equal([3, 2, 3, 3, 3]);
    expect(kept("thirdAck")).to.deep.equal([3, 3, 2, 3, 3]);
    expect(kept("data")).to.deep.equal([3, 3, 3, 2, 3]);
    expect(kept("ack")).to.deep.equal([3, 3, 3, 3, 2]);
  });

  it("takes one type from everything in one direction", () => {
    const box = new OptionStripper({ options: ["timestamps"], direction: "backward" });
    expect(pass(box, "forward", { options: [TIMESTAMPS, DSS] })[0]?.segment.options).to.have.length(2);
    expect(pass(box, "backward", { options: [TIMESTAMPS, DSS] })[0]?.segment.options).to.deep.equal([DSS]);
  });
});

describe("testing/middlebox: SYN dropper", () => {
  it("drops SYNs with options that not every firewall knows, in both directions", () => {
    const box = new SynDropper();
    expect(pass(box, "forward", { ...SYN, options: [MSS, TIMESTAMPS] })).to.have.length(1);
    expect(pass(box, "forward", { ...SYN, options: [MSS, CAPABLE] })).to.have.length(0);
    expect(pass(box, "backward", { ...SYN_ACK, options: [{ type: "fastOpen", cookie: text("1234") }] })).to.have.length(
      0,
    );
    expect(pass(box, "forward", { options: [DSS] })).to.have.length(1);
  });
});

describe("testing/middlebox: firewall", () => {
  it("lets in what answers a connection that was opened from inside, and nothing else", () => {
    const box = new Firewall();
    expect(pass(box, "backward", SYN)).to.have.length(0);
    expect(pass(box, "forward", { payload: text("no SYN before") })).to.have.length(0);
    expect(pass(box, "forward", SYN)).to.have.length(1);
    expect(pass(box, "backward", SYN_ACK)).to.have.length(1);
    expect(pass(box, "backward", { ...SYN_ACK, destinationPort: 40_001 })).to.have.length(0);
  });

  it("forgets a connection that was silent for too long", () => {
    const box = new Firewall({ idleMs: 1000 });
    pass(box, "forward", SYN, 0);
    expect(pass(box, "backward", SYN_ACK, 1000)).to.have.length(1);
    expect(pass(box, "backward", {}, 2001)).to.have.length(0);
  });

  it("can answer with the reset of RFC 9293 section 3.10.7.1, and never resets a reset", () => {
    const box = new Firewall({ refusal: "reset" });
    const [answer] = pass(box, "forward", { payload: text("abc") });
    expect(answer?.direction).to.equal("backward");
    expect(answer?.segment).to.include({
      flags: TCP_FLAG.rst,
      sequence: 5000,
      sourcePort: 443,
      destinationPort: 40_000,
    });
    const [toSyn] = pass(box, "backward", SYN);
    expect(toSyn?.segment).to.include({ flags: TCP_FLAG.rst | TCP_FLAG.ack, sequence: 0, acknowledgment: 1000 });
    expect(pass(box, "forward", { flags: TCP_FLAG.rst })).to.have.length(0);
  });
});

describe("testing/middlebox: sequence rewriter", () => {
  const SACK = { type: "sack", blocks: [{ left: 1100, right: 1200 }] } as const;

  it("shows each side other numbers, which fit each other", () => {
    const box = new SequenceRewriter({ rewritesSack: true }, new SeededRandom(1));
    const [syn] = pass(box, "forward", SYN);
    const own = ((syn?.segment.sequence ?? 0) - SYN.sequence) >>> 0;
    expect(own).to.be.greaterThan(0);
    const shifted = (value: number) => (value + own) >>> 0;
    const sack = {
      ...SACK,
      blocks: SACK.blocks.map(({ left, right }) => ({ left: shifted(left), right: shifted(right) })),
    };
    const [answer] = pass(box, "backward", { ...SYN_ACK, acknowledgment: shifted(1000), options: [sack] });
    expect(answer?.segment.acknowledgment).to.equal(1000);
    expect(answer?.segment.options).to.deep.equal([SACK]);
    const [again] = pass(box, "forward", { acknowledgment: answer?.segment.sequence ?? 0 });
    expect(again?.segment).to.include({ sequence: shifted(1000), acknowledgment: SYN_ACK.sequence });
  });

  it("can be one that does not know SACK", () => {
    const box = new SequenceRewriter({ rewritesSack: false }, new SeededRandom(1));
    pass(box, "forward", SYN);
    expect(pass(box, "backward", { options: [SACK] })[0]?.segment.options).to.deep.equal([SACK]);
  });
});

describe("testing/middlebox: splitter", () => {
  const segment = {
    payload: text("abcdefgh"),
    options: [DSS],
    sequence: 0xfffffffe,
    flags: TCP_FLAG.ack | TCP_FLAG.fin,
  };

  it("cuts the payload, and leaves the end to the last part", () => {
    const parts = pass(new Splitter({ mostBytes: 3, options: "copied" }), "forward", segment);
    expect(parts.map(({ segment: part }) => [part.sequence, part.flags, part.options.length])).to.deep.equal([
      [0xfffffffe, TCP_FLAG.ack, 1],
      [1, TCP_FLAG.ack, 1],
      [4, TCP_FLAG.ack | TCP_FLAG.fin, 1],
    ]);
    expect(parts.map(({ segment: part }) => new TextDecoder().decode(part.payload))).to.deep.equal([
      "abc",
      "def",
      "gh",
    ]);
  });

  it("can give the options to the first part alone", () => {
    const parts = pass(new Splitter({ mostBytes: 3, options: "firstOnly" }), "forward", segment);
    expect(parts.map(({ segment: part }) => part.options.length)).to.deep.equal([1, 0, 0]);
  });
});

describe("testing/middlebox: coalescer", () => {
  it("joins what follows, with the options of the first, and lets go when its time has come", () => {
    const box = new Coalescer({ mostBytes: 10, waitMs: 5 });
    expect(pass(box, "forward", { payload: text("abc"), options: [DSS] }, 1)).to.have.length(0);
    expect(pass(box, "forward", { payload: text("def"), sequence: 1003, options: [TIMESTAMPS] }, 4)).to.have.length(0);
    expect(box.pollTimeout()).to.equal(6);
    const [joined] = read(box.onTimeout(6));
    expect(joined?.segment).to.deep.include({ sequence: 1000, payload: text("abcdef"), options: [DSS] });
    expect(box.pollTimeout()).to.equal(undefined);
  });

  it("keeps the order: what does not follow, is too much, or asks for a push comes behind what was held", () => {
    const box = new Coalescer({ mostBytes: 4, waitMs: 5 });
    pass(box, "forward", { payload: text("abc") });
    const pushed = { payload: text("de"), sequence: 1003, flags: TCP_FLAG.ack | TCP_FLAG.psh };
    expect(pass(box, "forward", pushed).map(({ segment }) => segment.sequence)).to.deep.equal([1000, 1003]);
    pass(box, "forward", { payload: text("f"), sequence: 1005 });
    const fin = { payload: text("g"), sequence: 1006, flags: TCP_FLAG.ack | TCP_FLAG.fin };
    const [joined, ...rest] = pass(box, "forward", fin);
    expect(rest).to.have.length(0);
    expect(joined?.segment).to.deep.include({ payload: text("fg"), flags: TCP_FLAG.ack | TCP_FLAG.fin });
  });

  it("holds 4096 segments, and passes on at once what comes then", () => {
    const box = new Coalescer({ mostBytes: 10, waitMs: 5 });
    for (let port = 1; port <= 4096; port++) pass(box, "forward", { payload: text("a"), sourcePort: port });
    expect(pass(box, "forward", { payload: text("a"), sourcePort: 5000 })).to.have.length(1);
    expect(box.onTimeout(5)).to.have.length(4096);
  });
});

describe("testing/middlebox: early acknowledger", () => {
  it("acknowledges data in order at once, without options, and lets it pass", () => {
    const box = new EarlyAcker();
    pass(box, "forward", SYN);
    const [data, ack] = pass(box, "forward", { payload: text("abc"), options: [DSS] });
    expect(data?.direction).to.equal("forward");
    expect(ack).to.deep.include({ direction: "backward" });
    expect(ack?.segment).to.deep.include({ acknowledgment: 1003, sequence: 5000, flags: TCP_FLAG.ack, options: [] });
    expect(pass(box, "forward", { payload: text("behind a gap"), sequence: 1010 })).to.have.length(1);
    expect(pass(box, "forward", { payload: text("def"), sequence: 1003 })).to.have.length(2);
  });
});

describe("testing/middlebox: MTU limit", () => {
  const large = emitTcpPacket(tcp("forward", { payload: new Uint8Array(1300) }));

  it("drops what is larger, and says so where it has an address", () => {
    const box = new MtuLimit({ mtuBytes: 1339, routers: { ipv4: ipAddress("192.0.2.254") } });
    const [error] = box.onPacket(0, large, "forward");
    expect(error?.direction).to.equal("backward");
    expect(parseIcmpError(parseIpPacket(error?.packet ?? fromHex("")) as IpPacket)?.reason).to.deep.equal({
      type: "packetTooBig",
      mtuBytes: 1339,
    });
    expect(new MtuLimit({ mtuBytes: 1339 }).onPacket(0, large, "forward")).to.have.length(0);
  });

  it("lets pass what just fits", () => {
    expect(new MtuLimit({ mtuBytes: 1340 }).onPacket(0, large, "forward")).to.have.length(1);
  });
});

describe("testing/middlebox: every box", () => {
  it("lets pass what it cannot read", () => {
    const wrong = emitTcpPacket(tcp("forward", { payload: text("abc") }));
    wrong[wrong.length - 1] = 0;
    const boxes = [
      new Coalescer({ mostBytes: 10, waitMs: 5 }),
      new EarlyAcker(),
      new Firewall(),
      new OptionStripper({ options: ["multipath"] }),
      new SequenceRewriter({ rewritesSack: true }, new SeededRandom(1)),
      new Splitter({ mostBytes: 1, options: "copied" }),
      new SynDropper(),
    ];
    for (const box of boxes) {
      for (const packet of [wrong, fromHex("45"), new Uint8Array()]) {
        expect(box.onPacket(0, packet.slice(), "forward")).to.deep.equal([{ direction: "forward", packet }]);
      }
    }
  });
});
