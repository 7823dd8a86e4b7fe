import { expect } from "chai";
import { pattern } from "../tcp/tcp-pair.ts";
import { MptcpPair, type MptcpSide } from "./mptcp-pair.ts";

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
  expect(pair.server.bytes).to.deep.equal(pattern(upBytes));
  expect(pair.client.bytes).to.deep.equal(pattern(downBytes, 3));
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

  it("carries everything over a path that loses, doubles and reorders", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const link = { delayMs: 20, loss: 0.05, duplicate: 0.02, reorder: 0.05, reorderMs: 30, rateBitsPerSecond: 20e6 };
      const pair = new MptcpPair({ seed, paths: [{ up: link, down: link }] }).open();
      exchange(pair, 60_000, 40_000);
      expect(pair.client.connection.isMultipath, `seed ${seed}`).to.equal(true);
    }
  });
});

describe("stack/mptcp: two subflows", () => {
  it("carries bytes over both", () => {
    const link = { rateBitsPerSecond: 10e6, delayMs: 10 };
    const pair = new MptcpPair({
      paths: [
        { up: link, down: link },
        { up: link, down: link },
      ],
    }).connect();
    pair.client.connection.write(pattern(10), pair.nowMs);
    pair.run(() => pair.server.receivedBytes === 10);
    expect(pair.join(1)).to.be.an("object");
    pair.joined(2);
    pair.server.received.length = 0;
    pair.server.receivedBytes = 0;
    const sinceMs = pair.nowMs;
    exchange(pair, 5_000_000, 0);
    const carried = pair.paths.map(({ up }) => up.sent.reduce((sum, { payload }) => sum + payload.length, 0));
    expect(Math.min(...carried)).to.be.above(2_000_000);
    expect(pair.nowMs - sinceMs).to.be.below(70_000);
  });
});
