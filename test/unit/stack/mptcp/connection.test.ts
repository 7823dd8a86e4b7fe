import { equalBytes } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { findMptcp } from "@hybrid-access/core/stack/mptcp/handshake";
import { resetFor } from "@hybrid-access/core/stack/tcp/reset";
import { type MptcpOption, RESET_REASON } from "@hybrid-access/core/wire/mptcp/options";
import type { SegmentOption } from "@hybrid-access/core/wire/tcp/options";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { pattern } from "../tcp/tcp-pair.ts";
import { stripMptcp } from "./middleboxes.ts";
import { MptcpPair, type MptcpPairOptions, type MptcpSide } from "./mptcp-pair.ts";

/** Writes `bytes` as there is room, then ends the stream. */
function upload(pair: MptcpPair, side: MptcpSide, bytes: Uint8Array): () => void {
  let offset = 0;
  let ended = false;
  return () => {
    if (ended || (offset === 0 && side.connection.subflows.length === 0)) return;
    if (offset < bytes.length) offset += side.connection.write(bytes.subarray(offset, offset + 100_000), pair.nowMs);
    if (offset < bytes.length) return;
    ended = true;
    side.connection.shutdownWrite(pair.nowMs);
  };
}

function over(pair: MptcpPair): boolean {
  return pair.client.connection.isDone && pair.server.connection.isDone;
}

/** Sends both ways and ends; returns when both sides are done. */
function exchange(pair: MptcpPair, upBytes: number, downBytes: number): void {
  const [sendUp, sendDown] = [
    upload(pair, pair.client, pattern(upBytes)),
    upload(pair, pair.server, pattern(downBytes, 3)),
  ];
  pair.onStep = () => {
    sendUp();
    sendDown();
  };
  expect(
    pair.run(() => over(pair)),
    "ends",
  ).to.equal(true);
  expect(equalBytes(pair.server.bytes, pattern(upBytes))).to.equal(true);
  expect(equalBytes(pair.client.bytes, pattern(downBytes, 3))).to.equal(true);
  expect(pair.client.connection.closeReason).to.equal("finished");
  expect(pair.server.connection.closeReason).to.equal("finished");
  expect([pair.client.connection.pollTimeout(), pair.server.connection.pollTimeout()]).to.deep.equal([
    undefined,
    undefined,
  ]);
}

describe("stack/mptcp: one subflow", () => {
  for (const version of [0, 1] as const) {
    for (const checksum of [false, true]) {
      it(`carries bytes both ways and ends, version ${version}${checksum ? " with checksums" : ""}`, () => {
        const settings = { version, checksum };
        const pair = new MptcpPair({ paths: [{}], client: settings, server: settings }).connect();
        exchange(pair, 300_000, 200_000);
        expect(pair.client.connection.isMultipath && pair.server.connection.isMultipath).to.equal(true);
        expect(pair.client.saw("subflowEstablished") && pair.server.saw("subflowEstablished")).to.equal(true);
      });
    }
  }

  it("gives the data of a SYN no data sequence numbers, and counts mappings from behind it (RFC 8684 appendix B.2)", () => {
    for (const takeData of [true, false]) {
      const pair = new MptcpPair({ paths: [{}], open: { dataInSyn: true }, accept: { takeData } }).open(pattern(1000));
      const { connection } = pair.client;
      expect(pair.run(() => pair.server.receivedBytes === 1000)).to.equal(true);
      // The first mapping is MP_CAPABLE's own, and says no numbers.
      for (const total of [1500, 2000]) {
        connection.write(pattern(500), pair.nowMs);
        expect(pair.run(() => pair.server.receivedBytes === total)).to.equal(true);
      }
      const last = pair.paths[0]?.up.sent.findLast(({ payload }) => payload.length > 0);
      const mapping = findMptcp((last?.options ?? []) as readonly MptcpOption[], "dss")?.mapping;
      const first = takeData ? 501 : 1501;
      const { initialDataSequence } = connection.parts.session.local;
      expect(mapping?.subflowSequence).to.equal(first);
      expect(mapping?.sequence.value).to.equal(BigInt.asUintN(64, initialDataSequence + BigInt(first)));
    }
  });

  it("tells a peer of its end that has not said anything since the handshake", () => {
    let hasEnded = false;
    const up = (segment: TcpSegment) => {
      const dss = findMptcp(segment.options as readonly MptcpOption[], "dss");
      hasEnded ||= dss?.mapping?.dataFin === true;
      return [segment];
    };
    const silent = (segment: TcpSegment) => (hasEnded || (segment.flags & TCP_FLAG.syn) !== 0 ? [segment] : []);
    const pair = new MptcpPair({ paths: [{ up: { middlebox: up }, down: { middlebox: silent } }] }).open();
    expect(pair.run(() => pair.client.saw("connected") && pair.server.saw("connected"), 1000)).to.equal(true);
    pair.client.connection.shutdownWrite(pair.nowMs);
    expect(pair.run(() => pair.server.saw("ended"), 1000)).to.equal(true);
  });

  it("carries everything over a path that loses, doubles and reorders", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const link = { delayMs: 20, loss: 0.05, duplicate: 0.02, reorder: 0.05, reorderMs: 30, rateBitsPerSecond: 20e6 };
      const pair = new MptcpPair({ seed, paths: [{ up: link, down: link }] }).open();
      exchange(pair, 60_000, 40_000);
      expect(pair.client.connection.isMultipath, `seed ${seed}`).to.equal(true);
    }
  });
});

/** Two paths of 10 Mbit/s, and a subflow over each. */
function twoPaths(options: Partial<MptcpPairOptions> = {}): MptcpPair {
  const link = { rateBitsPerSecond: 10e6, delayMs: 10, queueBytes: 100_000 };
  const pair = new MptcpPair({
    paths: [
      { up: link, down: link },
      { up: link, down: link },
    ],
    ...options,
  }).connect();
  expect(pair.join(1)).to.be.an("object");
  return pair.joined(2);
}

/** Data bytes that each path has carried up. */
function carried(pair: MptcpPair): number[] {
  return pair.paths.map(({ up }) => up.sent.reduce((sum, { payload }) => sum + payload.length, 0));
}

/** Starts an upload that is not waited for. */
function begin(pair: MptcpPair, bytes: number): void {
  const step = upload(pair, pair.client, pattern(bytes));
  pair.onStep = step;
}

describe("stack/mptcp: two subflows", () => {
  it("carries bytes over both, with nearly the rate of both together", () => {
    const pair = twoPaths();
    const sinceMs = pair.nowMs;
    begin(pair, 5_000_000);
    expect(pair.run(() => pair.server.receivedBytes === 5_000_000)).to.equal(true);
    expect((5_000_000 * 8) / (pair.nowMs - sinceMs)).to.be.above(18_000);
    expect(Math.min(...carried(pair))).to.be.above(2_000_000);
  });

  it("ends with one TIME-WAIT for each subflow at the side that has ended first, and none at the other", () => {
    const pair = twoPaths();
    pair.client.connection.shutdownWrite(pair.nowMs);
    pair.run(() => pair.server.saw("ended"));
    pair.server.connection.shutdownWrite(pair.nowMs);
    pair.run(() => pair.server.connection.isDone);
    expect(pair.client.connection.subflows.map(({ tcp }) => tcp.state)).to.deep.equal(["timeWait", "timeWait"]);
    expect(pair.client.saw("closed") && pair.server.saw("closed")).to.equal(true);
    expect(pair.server.eventOf("closed")?.reason).to.equal("finished");
  });

  it("closes subflows itself after a while where the peer that ended first does not (RFC 8041 section 3.6)", () => {
    const pair = twoPaths();
    pair.client.connection.shutdownWrite(pair.nowMs);
    pair.run(() => pair.server.saw("ended"));
    pair.server.connection.shutdownWrite(pair.nowMs);
    for (const { up } of pair.paths)
      up.configure({ middlebox: (one) => ((one.flags & TCP_FLAG.fin) === 0 ? [one] : []) });
    const sinceMs = pair.nowMs;
    pair.run(() => pair.paths.every(({ down }) => down.sent.some(({ flags }) => (flags & TCP_FLAG.fin) !== 0)));
    expect(pair.nowMs - sinceMs).to.be.within(2000, 2100);
  });

  it("goes on over the other subflow when one falls silent, within a second", () => {
    const pair = twoPaths();
    begin(pair, 4_000_000);
    pair.run(() => pair.server.receivedBytes > 1_000_000);
    for (const link of [pair.paths[0]?.up, pair.paths[0]?.down]) link?.configure({ loss: 1 });
    const before = pair.server.receivedBytes;
    pair.run(() => pair.server.receivedBytes > before + 500_000);
    const sinceMs = pair.nowMs;
    expect(pair.run(() => pair.server.receivedBytes === 4_000_000, 10_000)).to.equal(true);
    expect(pair.nowMs - sinceMs).to.be.below(4000);
    expect(equalBytes(pair.server.bytes, pattern(4_000_000))).to.equal(true);
  });

  it("uses a path again that has come back", () => {
    const pair = twoPaths();
    begin(pair, 6_000_000);
    pair.run(() => pair.server.receivedBytes > 1_000_000);
    const [first] = pair.paths;
    for (const link of [first?.up, first?.down]) link?.configure({ loss: 1 });
    pair.run(() => false, 1500);
    for (const link of [first?.up, first?.down]) link?.configure({ rateBitsPerSecond: 10e6, delayMs: 10 });
    const before = carried(pair)[0] ?? 0;
    expect(pair.run(() => pair.server.receivedBytes === 6_000_000, 20_000)).to.equal(true);
    expect(carried(pair)[0]).to.be.above(before + 500_000);
    expect(equalBytes(pair.server.bytes, pattern(6_000_000))).to.equal(true);
  });

  it("loses nothing when a subflow is reset, either one, by the path", () => {
    for (const index of [0, 1]) {
      const pair = twoPaths();
      begin(pair, 2_000_000);
      pair.run(() => pair.server.receivedBytes > 500_000);
      pair.paths[index]?.up.configure({
        middlebox: (one) => [{ ...one, flags: TCP_FLAG.rst, payload: new Uint8Array(0), options: [] }],
      });
      pair.paths[index]?.down.configure({ loss: 1 });
      expect(pair.run(() => pair.server.receivedBytes === 2_000_000, 20_000)).to.equal(true);
      expect(equalBytes(pair.server.bytes, pattern(2_000_000))).to.equal(true);
      expect(pair.server.eventOf("subflowClosed")?.subflow).to.equal(index);
    }
  });

  it("keeps a backup idle until no other subflow works (MP_PRIO)", () => {
    const pair = twoPaths();
    pair.client.connection.setBackup(1, true, pair.nowMs);
    expect(pair.run(() => pair.server.saw("subflowPriority"))).to.equal(true);
    begin(pair, 2_000_000);
    pair.run(() => pair.server.receivedBytes > 1_000_000);
    expect(carried(pair)[1]).to.equal(0);
    for (const link of [pair.paths[0]?.up, pair.paths[0]?.down]) link?.configure({ loss: 1 });
    expect(pair.run(() => pair.server.receivedBytes === 2_000_000, 20_000)).to.equal(true);
    expect(carried(pair)[1]).to.be.above(500_000);
  });

  it("opens a subflow as backup where its SYN says so", () => {
    const link = { delayMs: 10 };
    const pair = new MptcpPair({
      paths: [
        { up: link, down: link },
        { up: link, down: link },
      ],
    }).connect();
    pair.join(1, { backup: true });
    pair.joined(2);
    pair.server.connection.write(pattern(200_000), pair.nowMs);
    pair.run(() => pair.client.receivedBytes === 200_000);
    expect(pair.paths[1]?.down.sent.every(({ payload }) => payload.length === 0)).to.equal(true);
  });

  it("lives without a subflow for a minute, and goes on over a new one", () => {
    const pair = twoPaths();
    begin(pair, 1_000_000);
    pair.run(() => pair.server.receivedBytes > 100_000);
    for (const { id } of pair.client.connection.subflows) pair.client.connection.closeSubflow(id, pair.nowMs);
    pair.run(() => pair.client.connection.subflows.length + pair.server.connection.subflows.length === 0, 1000);
    pair.run(() => false, 30_000);
    expect(pair.join(1)).to.be.an("object");
    expect(pair.run(() => pair.server.receivedBytes === 1_000_000, 10_000)).to.equal(true);
    expect(equalBytes(pair.server.bytes, pattern(1_000_000))).to.equal(true);
    for (const { id } of pair.client.connection.subflows) pair.client.connection.closeSubflow(id, pair.nowMs);
    expect(pair.run(() => over(pair))).to.equal(true);
    expect(pair.client.connection.closeReason).to.equal("timedOut");
  });

  it("is given up after 5 s where the peer knows it no more, and resets its subflows and every attempt to join again", () => {
    const pair = twoPaths();
    begin(pair, 1_000_000);
    pair.run(() => pair.server.receivedBytes > 100_000);
    for (const { up, down } of pair.paths) {
      const middlebox = (segment: TcpSegment) => {
        const reset = resetFor(segment);
        if (reset !== undefined) down.send(reset, pair.nowMs);
        return [];
      };
      up.configure({ middlebox });
    }
    pair.run(() => pair.client.connection.subflows.length === 0, 2000);
    const emptyMs = pair.nowMs;
    for (let count = 0; count < 4; count++) {
      pair.join(0);
      pair.run(() => false, 1000);
    }
    expect(pair.client.connection.closeReason).to.equal(undefined);
    pair.run(() => pair.client.connection.closeReason !== undefined, 10_000);
    expect(pair.client.connection.closeReason).to.equal("reset");
    expect(pair.nowMs - emptyMs).to.be.within(4900, 5100);
  });

  it("is aborted as a whole, and the peer sees a reset (MP_FASTCLOSE)", () => {
    for (const bytes of [0, 1_000_000]) {
      const pair = twoPaths();
      begin(pair, bytes + 1);
      pair.run(() => pair.server.receivedBytes > bytes / 2);
      pair.client.connection.reset(pair.nowMs);
      expect(pair.run(() => over(pair), 1000)).to.equal(true);
      expect([pair.client.connection.closeReason, pair.server.connection.closeReason]).to.deep.equal([
        "aborted",
        "reset",
      ]);
      expect(pair.nextMs === undefined || pair.client.connection.pollTimeout() === undefined).to.equal(true);
      expect(pair.server.connection.pollTimeout()).to.equal(undefined);
    }
  });

  it("shares one window: who does not read stops both subflows", () => {
    const pair = twoPaths({ tcp: { receiveBufferBytes: 100_000 } });
    pair.server.reads = false;
    begin(pair, 1_000_000);
    pair.run(() => false, 600_000);
    expect(pair.server.connection.readableBytes).to.equal(100_000);
    pair.server.reads = true;
    expect(pair.run(() => pair.server.receivedBytes === 1_000_000, 10_000)).to.equal(true);
    expect(equalBytes(pair.server.bytes, pattern(1_000_000))).to.equal(true);
  });

  it("opens no more subflows than allowed, and refuses what the peer opens beyond it", () => {
    const paths = Array.from({ length: 5 }, () => ({}));
    const pair = new MptcpPair({ paths, client: { mostSubflows: 4 }, server: { mostSubflows: 3 } }).connect();
    for (const index of [1, 2, 3]) {
      pair.join(index);
      pair.run(() => false, 200);
    }
    expect(pair.client.connection.subflows.length).to.equal(3);
    expect(pair.server.connection.subflows.length).to.equal(3);
    expect([pair.join(3), pair.join(4)].map((result) => typeof result)).to.deep.equal(["object", "string"]);
  });

  describe("a join", () => {
    it("repeats its third segment until the fourth comes", () => {
      const pair = new MptcpPair({ paths: [{}, {}] }).connect();
      let dropped = 0;
      pair.paths[1]?.up.configure({ middlebox: (one) => (one.flags === TCP_FLAG.ack && dropped++ < 2 ? [] : [one]) });
      pair.join(1);
      pair.joined(2);
      expect(dropped).to.be.above(2);
    });

    it("is refused with a wrong HMAC, in either direction", () => {
      for (const link of ["up", "down"] as const) {
        const pair = new MptcpPair({ paths: [{}, {}] }).connect();
        const forge = (option: SegmentOption): SegmentOption =>
          option.type === "joinAck" || option.type === "joinSynAck"
            ? { ...option, hmac: option.hmac.map((byte) => byte ^ 1) }
            : option;
        pair.paths[1]?.[link].configure({ middlebox: (one) => [{ ...one, options: one.options.map(forge) }] });
        pair.join(1);
        pair.run(() => pair.client.saw("subflowClosed"), 5000);
        pair.run(() => false, 5000);
        expect(pair.server.saw("subflowEstablished", 2)).to.equal(false);
        expect(pair.client.connection.subflows.length + pair.server.connection.subflows.length).to.equal(2);
        const resets = [...(pair.paths[1]?.up.sent ?? []), ...(pair.paths[1]?.down.sent ?? [])].filter(
          ({ flags }) => (flags & TCP_FLAG.rst) !== 0,
        );
        expect(resets[0]?.options).to.deep.equal([
          { type: "reset", transient: false, reason: RESET_REASON.multipathError },
        ]);
      }
    });

    it("is not possible on a connection that is plain TCP", () => {
      const pair = new MptcpPair({ paths: [{ up: { middlebox: stripMptcp } }, {}] }).connect();
      expect(pair.join(1)).to.equal("fallback");
    });

    it("leaves at most three that are half open, and the next one succeeds after those", () => {
      const pair = new MptcpPair({
        paths: [{}, {}],
        client: { mostSubflows: 20 },
        server: { mostSubflows: 20 },
      }).connect();
      pair.paths[1]?.down.configure({ loss: 1 });
      for (let count = 0; count < 8; count++) pair.join(1);
      pair.run(() => false, 500);
      expect(pair.server.connection.subflows.length).to.equal(1 + 3);
    });
  });

  describe("addresses", () => {
    const address = { addressId: 5, address: ipAddress("203.0.113.9"), port: 8443 };

    it("are told until they are echoed, and once only", () => {
      const pair = new MptcpPair({ paths: [{}] }).connect();
      let dropped = 0;
      const hasAddress = ({ options }: TcpSegment) => options.some(({ type }) => type === "addAddress");
      pair.paths[0]?.down.configure({ middlebox: (one) => (hasAddress(one) && dropped++ < 2 ? [] : [one]) });
      pair.server.connection.announce(address, pair.nowMs);
      expect(pair.run(() => pair.client.saw("addressAnnounced"), 10_000)).to.equal(true);
      expect(pair.client.eventOf("addressAnnounced")).to.deep.include(address);
      pair.run(() => false, 60_000);
      expect(pair.paths[0]?.down.sent.filter(hasAddress).length).to.equal(3);
      expect(pair.client.saw("addressAnnounced", 2)).to.equal(false);
    });

    it("are said in a segment of their own when data leaves at the same time, each of several", () => {
      const pair = new MptcpPair({ paths: [{}] }).connect();
      const { connection } = pair.server;
      for (const addressId of [5, 6]) {
        connection.announce({ addressId, address: ipAddress(`203.0.113.${addressId}`) }, pair.nowMs);
      }
      expect(pair.run(() => pair.client.saw("addressAnnounced", 2), 500)).to.equal(true);
      for (const addressId of [5, 6]) connection.removeAddress(addressId, pair.nowMs);
      connection.write(pattern(10), pair.nowMs);
      expect(pair.run(() => pair.client.saw("addressRemoved", 2), 500)).to.equal(true);
    });

    it("are not believed with a wrong HMAC", () => {
      const pair = new MptcpPair({ paths: [{}] }).connect();
      const forge = (option: SegmentOption): SegmentOption =>
        option.type === "addAddress" ? { ...option, addressId: 6 } : option;
      pair.paths[0]?.down.configure({ middlebox: (one) => [{ ...one, options: one.options.map(forge) }] });
      pair.server.connection.announce(address, pair.nowMs);
      pair.run(() => false, 60_000);
      expect(pair.client.saw("addressAnnounced")).to.equal(false);
      expect(pair.client.connection.parts.addresses.wrongHmacs).to.equal(4);
    });

    it("are told in version 0 too, which has no echo", () => {
      const pair = new MptcpPair({ paths: [{}], client: { version: 0 }, server: { version: 0 } }).connect();
      pair.client.connection.write(pattern(10), pair.nowMs);
      pair.run(() => pair.server.receivedBytes === 10);
      pair.server.connection.announce(address, pair.nowMs);
      expect(pair.run(() => pair.client.saw("addressAnnounced"), 10_000)).to.equal(true);
    });

    it("are taken back with their subflows (REMOVE_ADDR)", () => {
      const pair = twoPaths();
      begin(pair, 2_000_000);
      pair.run(() => pair.server.receivedBytes > 500_000);
      pair.client.connection.removeAddress(1, pair.nowMs);
      expect(pair.run(() => pair.server.saw("addressRemoved") && pair.server.saw("subflowClosed"), 2000)).to.equal(
        true,
      );
      expect(pair.run(() => pair.server.receivedBytes === 2_000_000, 20_000)).to.equal(true);
      expect(equalBytes(pair.server.bytes, pattern(2_000_000))).to.equal(true);
    });
  });

  it("keeps no more than its buffer of what a peer acknowledges for the connection and never for the subflow", () => {
    let first: number | undefined;
    // The window and DATA_ACKs are as they were; the subflow's first byte is never acknowledged, all behind it selectively.
    const middlebox = (segment: TcpSegment): readonly TcpSegment[] => {
      if ((segment.flags & TCP_FLAG.syn) !== 0) return [segment];
      first ??= segment.acknowledgment;
      const left = (first + 1) >>> 0;
      const bytes = (segment.acknowledgment - left) | 0;
      if (bytes <= 0) return [{ ...segment, acknowledgment: first }];
      const sack: SegmentOption = { type: "sack", blocks: [{ left, right: segment.acknowledgment }] };
      const others = segment.options.filter(({ type }) => type !== "sack");
      return [{ ...segment, acknowledgment: first, options: [...others, sack] }];
    };
    const sendBufferBytes = 200_000;
    const pair = new MptcpPair({ paths: [{ down: { middlebox } }], tcp: { sendBufferBytes } }).connect();
    const { sender } = pair.client.connection.subflows[0]?.tcp ?? {};
    let kept = 0;
    pair.onStep = () => {
      pair.client.connection.write(pattern(50_000), pair.nowMs);
      kept = Math.max(kept, sender?.bufferedBytes ?? 0);
    };
    pair.run(() => false, 5000);
    expect(pair.server.receivedBytes).to.be.greaterThan(sendBufferBytes / 2);
    expect(kept).to.be.within(sendBufferBytes / 2, sendBufferBytes);
  });
});
