/** The window that a connection offers follows what its application takes. */
import { NEW_RENO } from "@hybrid-access/core/policy/congestion/new-reno";
import { INITIAL_WINDOW_BYTES } from "@hybrid-access/core/policy/receive-window";
import { expect } from "chai";
import { pattern } from "../tcp/tcp-pair.ts";
import { MptcpPair, type PathOptions } from "./mptcp-pair.ts";

const MOST_BYTES = 8_000_000;
const CHUNK = pattern(200_000);

/** A line in both directions, whose queue takes as much as is on it. */
function line(megabits: number, roundTripMs: number): PathOptions {
  const rateBitsPerSecond = megabits * 1e6;
  const queueBytes = Math.max(50_000, (rateBitsPerSecond * roundTripMs) / 8000);
  const link = { delayMs: roundTripMs / 2, rateBitsPerSecond, queueBytes };
  return { up: link, down: link };
}

/** An upload without end over these lines, for so long after all are open. */
function upload(paths: readonly PathOptions[], forMs: number, timestamps = true) {
  const tcp = { sendBufferBytes: MOST_BYTES, receiveBufferBytes: MOST_BYTES, congestion: NEW_RENO, timestamps };
  const pair = new MptcpPair({ paths, tcp }).connect();
  for (let index = 1; index < paths.length; index++) {
    pair.join(index);
    pair.joined(index + 1);
  }
  const { receiver } = pair.server.connection.parts.session;
  let windowBytes = 0;
  pair.onStep = () => {
    pair.client.connection.write(CHUNK, pair.nowMs);
    windowBytes = Math.max(windowBytes, receiver.edge - receiver.next);
  };
  pair.run(() => false, forMs);
  return { pair, windowBytes, megabits: (8 * pair.server.receivedBytes) / forMs / 1000 };
}

describe("stack/mptcp: the receive window", () => {
  for (const timestamps of [true, false]) {
    it(`grows to what a long and fast line needs, as fast as slow start does ${timestamps ? "" : "(without timestamps)"}`, () => {
      // 375,000 bytes are on the line, and as many wait.
      const { windowBytes, megabits } = upload([line(50, 60)], 4000, timestamps);
      expect(windowBytes).to.be.within(750_000, MOST_BYTES);
      expect(megabits).to.be.greaterThan(0.85 * 50);
    });
  }

  it("grows by little where a line needs no more", () => {
    // 70,000 bytes are on the line and in its queue; where a gap is filled, more than that is taken at once.
    const { windowBytes, megabits } = upload([line(4, 40)], 6000);
    expect(windowBytes).to.be.within(INITIAL_WINDOW_BYTES, 3 * INITIAL_WINDOW_BYTES);
    expect(megabits).to.be.greaterThan(0.85 * 4);
  });

  it("is enough for two lines whose round trips differ", () => {
    const { megabits } = upload([line(30, 20), line(20, 120)], 6000);
    expect(megabits).to.be.greaterThan(0.8 * 50);
  });

  it("does not grow for an application that takes nothing more, and keeps no more for it", () => {
    const { pair } = upload([line(50, 60)], 200);
    pair.server.reads = false;
    pair.run(() => false, 10_000);
    const { readableBytes } = pair.server.connection;
    pair.run(() => false, 10_000);
    expect(pair.server.connection.readableBytes).to.equal(readableBytes);
    expect(readableBytes).to.be.below(MOST_BYTES / 4);
  });
});
