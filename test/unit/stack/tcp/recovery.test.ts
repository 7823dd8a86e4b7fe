import { equalBytes } from "@hybrid-access/core/base/bytes";
import { NEW_RENO } from "@hybrid-access/core/policy/congestion/new-reno";
import type { TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { pattern, TcpPair, type TcpPairOptions } from "./tcp-pair.ts";

/**
 * Carries `bytes` up, losing the data segments with these numbers (each once); how long it took after the handshake.
 */
function timeFor(
  bytes: number,
  lost: readonly number[],
  options: TcpPairOptions = {},
): { pair: TcpPair; tookMs: number } {
  let number = 0;
  const middlebox = (segment: TcpSegment) => {
    if (segment.payload.length === 0) return [segment];
    return lost.includes(number++) ? [] : [segment];
  };
  const pair = new TcpPair({ ...options, link: { delayMs: 50, middlebox }, linkBack: { delayMs: 50 } }).connect();
  const sinceMs = pair.nowMs;
  pair.client.connection.write(pattern(bytes));
  if (!pair.run(() => pair.server.receivedBytes === bytes, 60_000)) throw new Error("not all arrived");
  expect(equalBytes(pair.server.bytes, pattern(bytes))).to.equal(true);
  return { pair, tookMs: pair.nowMs - sinceMs };
}

describe("stack/tcp: loss recovery", () => {
  it("repairs a loss in about one round trip, without a timeout", () => {
    const clean = timeFor(14_000, []).tookMs;
    const { pair, tookMs } = timeFor(14_000, [3]);
    expect(clean).to.equal(50);
    expect(tookMs).to.be.within(150, 180);
    expect(pair.client.connection.sender.recovery.timeouts).to.equal(0);
    expect(pair.client.connection.sender.recovery.losses).to.equal(1);
  });

  it("repairs several losses of one window in about one round trip", () => {
    const { pair, tookMs } = timeFor(14_000, [1, 3, 5]);
    expect(tookMs).to.be.within(150, 180);
    expect(pair.client.connection.sender.recovery.losses).to.equal(1);
  });

  it("repairs a repetition that is lost again, by the time that has passed (RFC 8985)", () => {
    let lost = 0;
    const middlebox = (segment: TcpSegment, index: number) =>
      index === 4 || (index === 12 && lost++ === 0) ? [] : [segment];
    const pair = new TcpPair({ link: { delayMs: 50, middlebox }, linkBack: { delayMs: 50 } }).connect();
    const sinceMs = pair.nowMs;
    pair.client.connection.write(pattern(60_000));
    pair.run(() => pair.server.receivedBytes === 60_000, 60_000);
    expect(lost).to.equal(1);
    expect(pair.client.connection.sender.recovery.timeouts).to.equal(0);
    expect(pair.nowMs - sinceMs).to.be.below(1000);
  });

  it("probes for a lost tail instead of waiting for a timeout (RFC 8985 section 7)", () => {
    for (const lost of [[9], [8, 9], [7, 8, 9]]) {
      const { pair, tookMs } = timeFor(14_000, lost);
      expect(pair.client.connection.sender.recovery.timeouts).to.equal(0);
      expect(tookMs).to.be.within(300, 600);
    }
  });

  it("repairs losses without selective acknowledgements too (RFC 6582)", () => {
    const server = { selectiveAcknowledgements: false };
    const { pair, tookMs } = timeFor(14_000, [3], { server });
    expect(tookMs).to.be.within(150, 180);
    expect(pair.client.connection.sender.recovery.losses).to.equal(1);
    expect(timeFor(14_000, [2, 4], { server }).tookMs).to.be.within(250, 400);
  });

  it("does not take reordering for loss once it has seen it", () => {
    const link = { delayMs: 50, reorder: 0.1, reorderMs: 8, rateBitsPerSecond: 20e6 };
    const pair = new TcpPair({ link, linkBack: { delayMs: 50 }, seed: 4 }).connect();
    let written = 0;
    pair.onStep = () => {
      if (written < 3_000_000) written += pair.client.connection.write(pattern(Math.min(50_000, 3_000_000 - written)));
    };
    pair.run(() => pair.server.receivedBytes === 3_000_000);
    expect(pair.client.connection.sender.recovery.repeatedBytes).to.be.below(60_000);
  });

  it("halves Reno's window once for each window with a loss", () => {
    const { pair } = timeFor(14_000, [1, 3], { client: { congestion: NEW_RENO } });
    const { congestion } = pair.client.connection.sender.recovery;
    expect(congestion.slowStartThresholdBytes).to.be.within(6000, 8000);
  });

  it("gives up what is not acknowledged for two minutes, having doubled the timeout each time", () => {
    const pair = new TcpPair({ link: { delayMs: 20 } }).connect();
    pair.forward.configure({ loss: 1 });
    const sinceMs = pair.nowMs;
    const before = pair.forward.sent.length;
    pair.client.connection.write(pattern(500));
    expect(pair.run(() => pair.client.connection.isDone)).to.equal(true);
    expect(pair.client.connection.closeReason).to.equal("timedOut");
    expect(pair.nowMs - sinceMs).to.equal(120_000);
    expect(pair.forward.sent.length - before).to.be.within(9, 13);
    expect(pair.client.connection.pollTimeout()).to.equal(undefined);
  });

  it("goes on when the path comes back", () => {
    const pair = new TcpPair({ link: { delayMs: 20 } }).connect();
    const total = 500_000;
    pair.client.connection.write(pattern(total));
    pair.run(() => pair.server.receivedBytes > 100_000);
    for (const link of [pair.forward, pair.backward]) link.configure({ loss: 1 });
    pair.run(() => false, 20_000);
    for (const link of [pair.forward, pair.backward]) link.configure({ delayMs: 20 });
    expect(pair.run(() => pair.server.receivedBytes === total, 40_000)).to.equal(true);
    expect(equalBytes(pair.server.bytes, pattern(total))).to.equal(true);
  });

  it("finds out that a path swallows large segments, and sends smaller ones (RFC 4821)", () => {
    const pair = new TcpPair({ link: { delayMs: 20, largestBytes: 1300 }, linkBack: { delayMs: 20 } }).connect();
    pair.client.connection.write(pattern(100_000));
    expect(pair.run(() => pair.server.receivedBytes === 100_000, 30_000)).to.equal(true);
    expect(equalBytes(pair.server.bytes, pattern(100_000))).to.equal(true);
    expect(pair.forward.sent.at(-1)?.payload.length).to.be.at.most(1220 - 12);
  });

  it("sends smaller segments at once when a router says so, and only of what it has in flight (RFC 5927)", () => {
    const pair = new TcpPair({ link: { delayMs: 20, largestBytes: 1000 }, linkBack: { delayMs: 20 } }).connect();
    pair.client.connection.write(pattern(50_000));
    pair.run(() => pair.forward.sent.some(({ payload }) => payload.length > 1000));
    const { connection } = pair.client;
    const sequence = pair.forward.sent.at(-1)?.sequence ?? 0;
    connection.onPacketTooBig(900, (sequence + 1_000_000) >>> 0, pair.nowMs);
    expect(connection.pollTransmit(pair.nowMs)).to.equal(undefined);
    connection.onPacketTooBig(900, sequence, pair.nowMs);
    const sinceMs = pair.nowMs;
    expect(pair.run(() => pair.server.receivedBytes === 50_000, 5000)).to.equal(true);
    expect(pair.nowMs - sinceMs).to.be.below(400);
  });
});
