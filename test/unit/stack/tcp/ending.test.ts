import { equalBytes } from "@hybrid-access/core/base/bytes";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { pattern, TcpPair } from "./tcp-pair.ts";

function over(pair: TcpPair): boolean {
  return pair.client.connection.isDone && pair.server.connection.isDone;
}

/** The last segment of one side with these flags, to be forged from. */
function lastOf(sent: readonly TcpSegment[]): TcpSegment {
  const last = sent.at(-1);
  if (last === undefined) throw new Error("nothing was sent");
  return last;
}

describe("stack/tcp: ending", () => {
  it("lets data go on in the direction that has not ended, either one", () => {
    for (const first of ["client", "server"] as const) {
      const pair = new TcpPair().connect();
      const other = first === "client" ? "server" : "client";
      pair[first].connection.shutdownWrite();
      expect(pair.run(() => pair[other].events.includes("ended"))).to.equal(true);
      pair[other].connection.write(pattern(100_000));
      expect(pair.run(() => pair[first].receivedBytes === 100_000)).to.equal(true);
      pair[other].connection.shutdownWrite();
      expect(pair.run(() => over(pair))).to.equal(true);
      expect(equalBytes(pair[first].bytes, pattern(100_000))).to.equal(true);
    }
  });

  it("waits in TIME-WAIT at the side that has ended first, and there only", () => {
    const pair = new TcpPair().connect();
    pair.client.connection.shutdownWrite();
    pair.run(() => pair.server.events.includes("ended"));
    pair.server.connection.shutdownWrite();
    pair.run(() => pair.server.connection.isDone);
    expect(pair.client.connection.state).to.equal("timeWait");
    const sinceMs = pair.nowMs;
    expect(pair.run(() => over(pair))).to.equal(true);
    expect(pair.nowMs - sinceMs).to.be.within(59_900, 60_000);
  });

  it("ends when both end at once, over a path that loses FINs", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const pair = new TcpPair({ seed }).connect();
      for (const link of [pair.forward, pair.backward]) link.configure({ loss: 0.3 });
      pair.client.connection.shutdownWrite();
      pair.server.connection.shutdownWrite();
      expect(
        pair.run(() => over(pair)),
        `seed ${seed}`,
      ).to.equal(true);
      const timers = [pair.client.connection.pollTimeout(), pair.server.connection.pollTimeout()];
      expect(timers, `seed ${seed}`).to.deep.equal([undefined, undefined]);
    }
  });

  it("carries what was written before the end", () => {
    const pair = new TcpPair({ link: { rateBitsPerSecond: 5e6 } }).connect();
    pair.client.connection.write(pattern(200_000));
    pair.client.connection.close(pair.nowMs);
    expect(pair.run(() => pair.server.events.includes("ended"))).to.equal(true);
    expect(pair.server.receivedBytes).to.equal(200_000);
  });

  it("tells the peer by a reset that what it has sent was not read", () => {
    const pair = new TcpPair().connect();
    pair.client.reads = false;
    pair.server.connection.write(pattern(100));
    pair.run(() => pair.client.connection.readableBytes === 100);
    pair.client.connection.close(pair.nowMs);
    expect(pair.run(() => over(pair))).to.equal(true);
    expect(pair.server.connection.closeReason).to.equal("reset");
  });

  it("resets a peer that goes on sending to somebody who has left", () => {
    const pair = new TcpPair().connect();
    pair.client.connection.close(pair.nowMs);
    pair.run(() => pair.server.events.includes("ended"));
    pair.server.connection.write(pattern(10));
    expect(pair.run(() => over(pair), 1000)).to.equal(true);
    expect(pair.server.connection.closeReason).to.equal("reset");
  });

  it("does not wait for ever for the end of a peer when nobody is interested in it", () => {
    const pair = new TcpPair().connect();
    pair.client.connection.close(pair.nowMs);
    expect(pair.run(() => pair.client.connection.isDone)).to.equal(true);
    expect(pair.nowMs).to.be.within(61_000, 61_100);
  });

  it("is reset by the application at any time, and the peer learns it; nothing is left", () => {
    for (const bytes of [0, 1, 65_536, 1_000_000]) {
      const pair = new TcpPair({ link: { rateBitsPerSecond: 10e6 } }).connect();
      pair.client.connection.write(pattern(bytes));
      pair.run(() => pair.server.receivedBytes >= bytes / 2);
      pair.client.connection.reset();
      expect(pair.run(() => over(pair), 1000)).to.equal(true);
      expect([pair.client.connection.closeReason, pair.server.connection.closeReason]).to.deep.equal([
        "aborted",
        "reset",
      ]);
      expect(pair.server.events).not.to.include("ended");
      expect([pair.client.connection.pollTimeout(), pair.server.connection.pollTimeout()]).to.deep.equal([
        undefined,
        undefined,
      ]);
    }
  });

  describe("against guesses (RFC 5961)", () => {
    it("takes a reset at exactly the next sequence number only", () => {
      const pair = new TcpPair().connect();
      const last = lastOf(pair.backward.sent);
      const forged = { ...last, flags: TCP_FLAG.rst, options: [], acknowledgment: 0 };
      const next = (last.sequence + 1) >>> 0;
      const { connection } = pair.client;
      for (const offset of [-70_000, -1, 1, 1000, 60_000, 2 ** 31]) {
        connection.receive({ ...forged, sequence: (next + offset) >>> 0 }, pair.nowMs);
      }
      expect(connection.state).to.equal("established");
      const answer = connection.pollTransmit(pair.nowMs);
      expect([answer?.flags, answer?.payload.length]).to.deep.equal([TCP_FLAG.ack, 0]);
      connection.receive({ ...forged, sequence: next }, pair.nowMs);
      expect(connection.closeReason).to.equal("reset");
    });

    it("answers a SYN in the window with an acknowledgement, and what is far away at most ten times in five seconds", () => {
      const pair = new TcpPair().connect();
      const last = lastOf(pair.backward.sent);
      const { connection } = pair.client;
      let answers = 0;
      for (let count = 0; count < 1000; count++) {
        const flags = count % 2 === 0 ? TCP_FLAG.syn : TCP_FLAG.ack;
        connection.receive({ ...last, flags, sequence: (last.sequence + 5e8) >>> 0, options: [] }, pair.nowMs + count);
        while (connection.pollTransmit(pair.nowMs + count) !== undefined) answers += 1;
      }
      expect(connection.state).to.equal("established");
      expect(answers).to.equal(10);
    });

    it("takes no data with an acknowledgement of what was never sent", () => {
      const pair = new TcpPair().connect();
      const last = lastOf(pair.backward.sent);
      const forged = { ...last, flags: TCP_FLAG.ack, sequence: (last.sequence + 1) >>> 0, payload: pattern(100) };
      pair.client.connection.receive({ ...forged, acknowledgment: (last.acknowledgment + 100_000) >>> 0 }, pair.nowMs);
      expect(pair.client.connection.readableBytes).to.equal(0);
    });
  });

  it("drops old duplicates by their timestamps (RFC 7323 PAWS)", () => {
    const pair = new TcpPair().connect();
    pair.server.connection.write(pattern(10));
    pair.run(() => pair.client.receivedBytes === 10);
    const last = lastOf(pair.backward.sent);
    const options = [{ type: "timestamps" as const, value: 0xffff_0000, echoReply: 0 }];
    const old = { ...last, sequence: (last.sequence + 10) >>> 0, payload: pattern(20), options };
    pair.client.connection.receive(old, pair.nowMs);
    expect(pair.client.connection.readableBytes).to.equal(0);
  });
});
