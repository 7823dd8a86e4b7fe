import { equalBytes } from "@hybrid-access/core/base/bytes";
import { expect } from "chai";
import { pattern, type Side, TcpPair } from "./tcp-pair.ts";

/** Writes `bytes` as there is room, then ends the stream. */
function upload(side: Side, bytes: Uint8Array): () => void {
  let offset = 0;
  let ended = false;
  return () => {
    if (ended) return;
    if (offset < bytes.length) offset += side.connection.write(bytes.subarray(offset, offset + 100_000));
    if (offset === bytes.length) {
      ended = true;
      side.connection.shutdownWrite();
    }
  };
}

function over(pair: TcpPair): boolean {
  return pair.client.connection.isDone && pair.server.connection.isDone;
}

describe("stack/tcp: a connection", () => {
  it("is established in one round trip and a half", () => {
    const pair = new TcpPair().connect();
    expect(pair.client.connection.state).to.equal("established");
    expect(pair.server.connection.state).to.equal("established");
    expect(pair.nowMs).to.equal(1030);
  });

  it("carries bytes both ways and ends as both sides want", () => {
    const pair = new TcpPair().connect();
    const up = pattern(300_000);
    const down = pattern(200_000, 3);
    const [sendUp, sendDown] = [upload(pair.client, up), upload(pair.server, down)];
    pair.onStep = () => {
      sendUp();
      sendDown();
    };
    expect(pair.run(() => over(pair))).to.equal(true);
    expect(equalBytes(pair.server.bytes, up)).to.equal(true);
    expect(equalBytes(pair.client.bytes, down)).to.equal(true);
    expect([pair.client.connection.closeReason, pair.server.connection.closeReason]).to.deep.equal([
      "finished",
      "finished",
    ]);
    expect(pair.nextMs).to.equal(undefined);
  });

  it("carries everything over a path that loses, doubles and reorders", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const link = { delayMs: 20, loss: 0.05, duplicate: 0.02, reorder: 0.05, reorderMs: 30, rateBitsPerSecond: 20e6 };
      const pair = new TcpPair({ seed, link }).open();
      const up = pattern(100_000, seed);
      const down = pattern(50_000, seed + 1);
      const [sendUp, sendDown] = [upload(pair.client, up), upload(pair.server, down)];
      pair.onStep = () => {
        sendUp();
        if (pair.server.connection.state !== "closed") sendDown();
      };
      expect(
        pair.run(() => over(pair)),
        `seed ${seed}`,
      ).to.equal(true);
      expect(equalBytes(pair.server.bytes, up), `seed ${seed}`).to.equal(true);
      expect(equalBytes(pair.client.bytes, down), `seed ${seed}`).to.equal(true);
      expect(pair.nextMs, `seed ${seed}`).to.equal(undefined);
    }
  });
});
