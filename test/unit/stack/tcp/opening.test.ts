import { equalBytes } from "@hybrid-access/core/base/bytes";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { pattern, TcpPair } from "./tcp-pair.ts";

const { syn: SYN, ack: ACK, rst: RST } = TCP_FLAG;

/** Drops the segments with these numbers, counted from 0. */
function dropping(...numbers: number[]): (segment: TcpSegment, index: number) => readonly TcpSegment[] {
  return (segment, index) => (numbers.includes(index) ? [] : [segment]);
}

describe("stack/tcp: opening", () => {
  it("repeats a lost SYN after one second, and a lost SYN-ACK too", () => {
    const lostSyn = new TcpPair({ link: { middlebox: dropping(0) }, linkBack: {} }).connect();
    expect(lostSyn.nowMs).to.equal(1000 + 1000 + 30);
    const lostAnswer = new TcpPair({ linkBack: { middlebox: dropping(0) }, link: {} }).connect();
    expect(lostAnswer.nowMs).to.be.within(2000, 2050);
  });

  it("is established by the next segment where the third one is lost", () => {
    const pair = new TcpPair({ link: { middlebox: dropping(1) }, linkBack: {} }).open();
    pair.run(() => pair.client.events.includes("connected"));
    pair.client.connection.write(pattern(100));
    expect(pair.run(() => pair.server.receivedBytes === 100, 1000)).to.equal(true);
  });

  it("opens simultaneously (RFC 9293 figure 7)", () => {
    const pair = new TcpPair().open();
    pair.server.connection.open(pair.nowMs);
    const both = () => pair.client.events.includes("connected") && pair.server.events.includes("connected");
    expect(pair.run(both, 5000)).to.equal(true);
    expect(pair.forward.sent.map(({ flags }) => flags & (SYN | ACK)).slice(0, 2)).to.deep.equal([SYN, SYN | ACK]);
    pair.client.connection.write(pattern(5000));
    expect(pair.run(() => pair.server.receivedBytes === 5000, 5000)).to.equal(true);
    expect(pair.forward.sent.length).to.be.below(15);
  });

  it("is refused by a reset that acknowledges the SYN, and by no other", () => {
    const pair = new TcpPair().open();
    pair.run(() => pair.forward.sent.length === 1);
    const [syn] = pair.forward.sent;
    const reset = { ...(syn as TcpSegment), sourcePort: 80, destinationPort: 40_000, options: [], flags: RST | ACK };
    pair.client.connection.receive({ ...reset, acknowledgment: (reset.sequence + 5) >>> 0 }, pair.nowMs);
    expect(pair.client.connection.state).to.equal("synSent");
    pair.client.connection.receive({ ...reset, acknowledgment: (reset.sequence + 1) >>> 0 }, pair.nowMs);
    expect(pair.client.connection.closeReason).to.equal("refused");
    expect(pair.client.connection.pollTimeout()).to.equal(undefined);
  });

  it("answers a SYN-ACK of an old connection with a reset, and goes on (RFC 9293 figure 8)", () => {
    const pair = new TcpPair().open();
    pair.run(() => pair.forward.sent.length === 1);
    const [syn] = pair.forward.sent;
    const old = {
      ...(syn as TcpSegment),
      sourcePort: 80,
      destinationPort: 40_000,
      flags: SYN | ACK,
      acknowledgment: 99,
    };
    pair.client.connection.receive(old, pair.nowMs);
    const answer = pair.client.connection.pollTransmit(pair.nowMs);
    expect([answer?.flags, answer?.sequence]).to.deep.equal([RST, 99]);
    expect(pair.run(() => pair.client.events.includes("connected"), 100)).to.equal(true);
  });

  it("gives up a SYN that nobody answers after three minutes, without a reset", () => {
    const pair = new TcpPair({ link: { loss: 1 } }).open();
    expect(pair.run(() => pair.client.connection.isDone)).to.equal(true);
    expect(pair.client.connection.closeReason).to.equal("timedOut");
    expect(pair.nowMs).to.equal(1000 + 180_000);
    expect(pair.forward.sent.every(({ flags }) => flags === SYN)).to.equal(true);
    expect(pair.nextMs).to.equal(undefined);
  });

  it("agrees on nothing that one side does not offer", () => {
    for (const without of [{ timestamps: false }, { selectiveAcknowledgements: false }]) {
      const pair = new TcpPair({ server: without }).connect();
      pair.client.connection.write(pattern(50_000));
      expect(pair.run(() => pair.server.receivedBytes === 50_000, 5000)).to.equal(true);
      const [, ...later] = pair.forward.sent;
      const types = later.flatMap(({ options }) => options.map(({ type }) => type));
      expect(types).not.to.include("timestamps" in without ? "timestamps" : "sack");
    }
  });

  it("fills segments to the smaller maximum, options included (RFC 6691)", () => {
    const pair = new TcpPair({
      client: { maximumSegmentBytes: 1440 },
      server: { maximumSegmentBytes: 1000 },
    }).connect();
    pair.client.connection.write(pattern(20_000));
    pair.run(() => pair.server.receivedBytes === 20_000, 5000);
    expect(Math.max(...pair.forward.sent.map(({ payload }) => payload.length))).to.equal(1000 - 12);
  });

  describe("with Fast Open (RFC 7413)", () => {
    const open = { dataInSyn: true, fastOpenCookie: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) };

    it("has data at the server half a round trip after the start, and the answer after one", () => {
      const pair = new TcpPair({ open, accept: { takeData: true } });
      pair.client.connection.write(pattern(500));
      pair.open();
      expect(pair.run(() => pair.server.receivedBytes === 500)).to.equal(true);
      expect(pair.nowMs).to.equal(1010);
      pair.server.connection.write(pattern(300, 9));
      expect(pair.run(() => pair.client.receivedBytes === 300)).to.equal(true);
      expect(pair.nowMs).to.equal(1020);
      expect(equalBytes(pair.server.bytes, pattern(500))).to.equal(true);
      expect(equalBytes(pair.client.bytes, pattern(300, 9))).to.equal(true);
    });

    it("sends the data again where the server takes none of it", () => {
      const pair = new TcpPair({ open });
      pair.client.connection.write(pattern(500));
      pair.open();
      expect(pair.run(() => pair.server.receivedBytes === 500)).to.equal(true);
      expect(pair.nowMs).to.equal(1030);
      expect(equalBytes(pair.server.bytes, pattern(500))).to.equal(true);
    });

    it("repeats the SYN without cookie and data, which a middlebox may have dropped", () => {
      const pair = new TcpPair({
        open,
        link: { middlebox: (one) => (one.flags === SYN && one.payload.length > 0 ? [] : [one]) },
      });
      pair.client.connection.write(pattern(500));
      pair.open();
      expect(pair.run(() => pair.server.receivedBytes === 500)).to.equal(true);
      expect(pair.nowMs).to.equal(2030);
      expect(pair.forward.sent[1]?.options.some(({ type }) => type === "fastOpen")).to.equal(false);
    });

    it("sends early answers again where they are lost", () => {
      const pair = new TcpPair({ open, accept: { takeData: true }, link: {}, linkBack: { middlebox: dropping(1) } });
      pair.client.connection.write(pattern(500));
      pair.open();
      pair.run(() => pair.server.receivedBytes === 500);
      pair.server.connection.write(pattern(300));
      expect(pair.run(() => pair.client.receivedBytes === 300, 2000)).to.equal(true);
    });
  });
});
