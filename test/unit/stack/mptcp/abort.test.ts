import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { findMptcp } from "@hybrid-access/core/stack/mptcp/handshake";
import type { MptcpOption } from "@hybrid-access/core/wire/mptcp/options";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { pattern } from "../tcp/tcp-pair.ts";
import { MptcpPair } from "./mptcp-pair.ts";

function connected(subflows: number): MptcpPair {
  const pair = new MptcpPair({ paths: Array.from({ length: subflows }, () => ({ up: { delayMs: 10 } })) }).connect();
  for (let index = 1; index < subflows; index++) {
    pair.join(index);
    pair.joined(index + 1);
  }
  pair.run(() => false, 1000);
  return pair;
}

/** Whether a segment of the client's says MP_FASTCLOSE, and how. */
function fastClose({ options, flags }: TcpSegment): "acknowledgement" | "reset" | undefined {
  if (findMptcp(options as readonly MptcpOption[], "fastClose") === undefined) return undefined;
  return (flags & TCP_FLAG.rst) === 0 ? "acknowledgement" : "reset";
}

function said(pair: MptcpPair): ReturnType<typeof fastClose>[] {
  return pair.paths.flatMap(({ up }) => up.sent.map(fastClose)).filter((one) => one !== undefined);
}

function reasons({ client, server }: MptcpPair) {
  return [client.connection.closeReason, server.connection.closeReason];
}

function both(pair: MptcpPair): boolean {
  return pair.client.connection.isDone && pair.server.connection.isDone;
}

describe("stack/mptcp: aborting (RFC 8684 section 3.5)", () => {
  it("asks on one subflow until a reset answers, and resets the others", () => {
    const pair = connected(2);
    pair.client.connection.reset(pair.nowMs);
    expect(pair.client.connection.closeReason).to.equal("aborted");
    expect(pair.run(() => both(pair), 100)).to.equal(true);
    expect(reasons(pair)).to.deep.equal(["aborted", "reset"]);
    expect(said(pair)).to.deep.equal(["acknowledgement", "reset"]);
    expect(pair.nextMs).to.equal(undefined);
  });

  for (const lost of [1, 2, 3]) {
    it(`says it again where it was lost ${lost} times: the peer is not left with a connection`, () => {
      const pair = connected(2);
      let left = lost;
      pair.paths[0]?.up.configure({ middlebox: (one) => (fastClose(one) && left-- > 0 ? [] : [one]) });
      pair.paths[1]?.up.configure({ middlebox: () => [] });
      pair.client.connection.reset(pair.nowMs);
      expect(pair.run(() => pair.server.connection.isDone, 3000)).to.equal(true);
      expect(pair.run(() => pair.client.connection.isDone, 3000)).to.equal(true);
      expect(reasons(pair)).to.deep.equal(["aborted", "reset"]);
      expect(pair.client.connection.pollTimeout()).to.equal(undefined);
    });
  }

  it("gives up after three repetitions, with a reset that says it too", () => {
    const pair = connected(1);
    pair.paths[0]?.up.configure({ middlebox: () => [] });
    pair.client.connection.reset(pair.nowMs);
    expect(pair.run(() => pair.client.connection.isDone, 10_000)).to.equal(true);
    expect(said(pair)).to.deep.equal([...Array<string>(4).fill("acknowledgement"), "reset"]);
    expect(pair.client.connection.pollTimeout()).to.equal(undefined);
  });

  it("goes on whatever is wanted of the subflow meanwhile", () => {
    const pair = connected(1);
    const { connection } = pair.client;
    connection.reset(pair.nowMs);
    connection.setBackup(0, true, pair.nowMs);
    connection.removeAddress(0, pair.nowMs);
    connection.closeSubflow(0, pair.nowMs);
    expect(pair.run(() => both(pair), 100)).to.equal(true);
    expect(said(pair)).to.deep.equal(["acknowledgement"]);
  });

  it("leaves unsaid what is not said any more: an address that nobody has echoed", () => {
    const pair = connected(1);
    pair.paths[0]?.up.configure({ middlebox: () => [] });
    const address = ipAddress("192.0.2.77");
    pair.client.connection.announce({ addressId: 7, address }, pair.nowMs);
    pair.run(() => false, 100);
    pair.client.connection.reset(pair.nowMs);
    expect(pair.run(() => pair.client.connection.isDone, 10_000)).to.equal(true);
    expect(pair.client.connection.pollTimeout()).to.equal(undefined);
  });

  it("is over at once for both where both abort at the same time", () => {
    const pair = connected(1);
    pair.client.connection.reset(pair.nowMs);
    pair.server.connection.reset(pair.nowMs);
    expect(pair.run(() => both(pair), 100)).to.equal(true);
    expect(reasons(pair)).to.deep.equal(["aborted", "aborted"]);
  });

  it("takes and sends no data meanwhile, however much was under way", () => {
    const pair = connected(1);
    for (const side of [pair.client, pair.server]) side.connection.write(pattern(500_000), pair.nowMs);
    pair.run(() => pair.client.receivedBytes > 50_000, 5000);
    pair.paths[0]?.up.configure({ middlebox: (one) => (fastClose(one) ? [] : [one]) });
    pair.client.connection.reset(pair.nowMs);
    const { receivedBytes } = pair.client;
    const sent = pair.paths[0]?.up.sent.length ?? 0;
    pair.run(() => false, 300);
    expect(pair.client.receivedBytes).to.equal(receivedBytes);
    const after = pair.paths[0]?.up.sent.slice(sent) ?? [];
    expect(after.every((one) => one.payload.length === 0 && fastClose(one) !== undefined)).to.equal(true);
    pair.paths[0]?.up.configure({});
    expect(pair.run(() => both(pair), 5000)).to.equal(true);
    expect(reasons(pair)).to.deep.equal(["aborted", "reset"]);
  });

  it("does not believe who has not our key", () => {
    const pair = connected(1);
    const forge = (one: TcpSegment): TcpSegment => {
      const options = one.options.map((option) =>
        option.type === "fastClose" ? { ...option, receiverKey: new Uint8Array(8) } : option,
      );
      return { ...one, options };
    };
    pair.paths[0]?.up.configure({ middlebox: (one) => (fastClose(one) === "reset" ? [] : [forge(one)]) });
    pair.client.connection.reset(pair.nowMs);
    pair.run(() => false, 10_000);
    expect(pair.server.connection.closeReason).to.equal(undefined);
  });
});
