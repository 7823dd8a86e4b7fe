import { equalBytes } from "@hybrid-access/core/base/bytes";
import { TCP_FLAG } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { pattern, TcpPair } from "./tcp-pair.ts";

describe("stack/tcp: the window", () => {
  it("stops a sender whose receiver does not read, for as long as that lasts, and lets it go on at once", () => {
    const pair = new TcpPair({ server: { receiveBufferBytes: 64_000 } }).connect();
    pair.server.reads = false;
    pair.client.connection.write(pattern(300_000));
    pair.run(() => false, 3_600_000);
    expect(pair.server.connection.readableBytes).to.equal(64_000);
    expect(pair.client.connection.state).to.equal("established");
    const before = pair.forward.sent.length;
    pair.run(() => false, 3_600_000);
    // One probe each minute.
    expect(pair.forward.sent.length - before).to.be.within(55, 65);
    pair.server.reads = true;
    const sinceMs = pair.nowMs;
    expect(pair.run(() => pair.server.receivedBytes === 300_000)).to.equal(true);
    expect(pair.nowMs - sinceMs).to.be.below(300);
    expect(equalBytes(pair.server.bytes, pattern(300_000))).to.equal(true);
  });

  it("opens for a sender although the update is lost", () => {
    const pair = new TcpPair({ server: { receiveBufferBytes: 20_000 } }).connect();
    pair.server.reads = false;
    pair.client.connection.write(pattern(50_000));
    pair.run(() => false, 500);
    pair.backward.configure({ loss: 1 });
    pair.server.reads = true;
    pair.run(() => false, 50);
    pair.backward.configure({});
    expect(pair.run(() => pair.server.receivedBytes === 50_000, 5000)).to.equal(true);
  });

  it("gives up a peer that does not answer probes any more", () => {
    const pair = new TcpPair({ server: { receiveBufferBytes: 20_000 } }).connect();
    pair.server.reads = false;
    pair.client.connection.write(pattern(50_000));
    pair.run(() => false, 10_000);
    pair.forward.configure({ loss: 1 });
    expect(pair.run(() => pair.client.connection.isDone)).to.equal(true);
    expect(pair.client.connection.closeReason).to.equal("timedOut");
  });

  it("is never exceeded, and never moves back", () => {
    const pair = new TcpPair({ server: { receiveBufferBytes: 100_000 }, link: { loss: 0.02, delayMs: 15 } }).connect();
    let written = 0;
    pair.server.reads = false;
    pair.onStep = () => {
      if (written < 2_000_000) written += pair.client.connection.write(pattern(Math.min(9000, 2_000_000 - written)));
      if (Math.floor(pair.nowMs / 7) % 3 === 0) pair.server.readAll(3000);
    };
    pair.run(() => pair.client.connection.memory.unacknowledgedBytes === 0 && written === 2_000_000);
    pair.server.readAll();
    expect(pair.server.receivedBytes).to.equal(2_000_000);
    let edge = 0;
    const first = pair.backward.sent[0]?.acknowledgment ?? 0;
    for (const { acknowledgment, window, flags } of pair.backward.sent) {
      if ((flags & TCP_FLAG.syn) !== 0) continue;
      const told = ((acknowledgment - first) >>> 0) + window * 2;
      expect(told).to.be.at.least(edge - 1);
      edge = Math.max(edge, told);
    }
  });

  it("does not open by crumbs", () => {
    const pair = new TcpPair({ server: { receiveBufferBytes: 30_000 } }).connect();
    pair.server.reads = false;
    pair.client.connection.write(pattern(60_000));
    pair.run(() => false, 5000);
    const before = pair.backward.sent.length;
    const crumb = new Uint8Array(10);
    for (let count = 0; count < 100; count++) {
      pair.server.connection.read(crumb);
      pair.run(() => false, 1);
    }
    expect(pair.backward.sent.length - before).to.be.at.most(2);
  });

  it("asks a silent peer whether it is there, and gives it up after nine questions", () => {
    const pair = new TcpPair({ client: { keepaliveMs: 7_200_000 } }).connect();
    pair.run(() => false, 7_200_100);
    expect(pair.client.connection.state).to.equal("established");
    const asked = pair.forward.sent.length;
    pair.forward.configure({ loss: 1 });
    expect(pair.run(() => pair.client.connection.isDone, 20_000_000)).to.equal(true);
    expect(pair.client.connection.closeReason).to.equal("timedOut");
    expect(pair.forward.sent.length - asked).to.equal(9 + 1);
  });

  it("acknowledges what comes alone after 40 ms, and every second full segment at once", () => {
    const pair = new TcpPair().connect();
    pair.client.connection.write(pattern(400_000));
    pair.run(() => pair.server.receivedBytes === 400_000);
    pair.run(() => false, 1000);
    const data = pair.forward.sent.filter(({ payload }) => payload.length > 0).length;
    const acknowledgements = pair.backward.sent.length;
    expect(acknowledgements).to.be.within(data / 2, data / 2 + 20);
    pair.client.connection.write(pattern(1));
    const sinceMs = pair.nowMs;
    pair.run(() => pair.backward.sent.length > acknowledgements);
    expect(pair.nowMs - sinceMs).to.equal(50);
  });

  it("keeps no more of tiny segments out of order than twice the buffer, and 256 gaps", () => {
    const pair = new TcpPair({ server: { receiveBufferBytes: 60_000 } }).connect();
    const [syn] = pair.forward.sent;
    if (syn === undefined) throw new Error("no SYN");
    const { connection } = pair.server;
    const acknowledgment = pair.forward.sent[1]?.acknowledgment ?? 0;
    for (let position = 3; position < 59_000; position += 2) {
      const sequence = (syn.sequence + position) >>> 0;
      const one = { ...syn, flags: TCP_FLAG.ack, sequence, acknowledgment, options: [], payload: Uint8Array.of(1) };
      connection.receive(one, pair.nowMs);
    }
    expect(connection.memory.outOfOrderBytes).to.equal(256);
    pair.client.connection.write(pattern(60_000));
    expect(pair.run(() => pair.server.receivedBytes === 60_000, 5000)).to.equal(true);
  });
});
