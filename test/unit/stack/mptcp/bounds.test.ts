/** What a connection keeps for its peer and its application, filled to the brim. */
import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { AddressBook, MOST_PEER_ADDRESSES } from "@hybrid-access/core/stack/mptcp/address-book";
import { MOST_EVENTS, tell } from "@hybrid-access/core/stack/mptcp/parts";
import { MOST_JOIN_ACKNOWLEDGEMENTS } from "@hybrid-access/core/stack/mptcp/progress";
import { MOST_SIGNALS } from "@hybrid-access/core/stack/mptcp/subflow";
import type { MptcpOption } from "@hybrid-access/core/wire/mptcp/options";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { MptcpPair } from "./mptcp-pair.ts";

function has(type: MptcpOption["type"]): (segment: TcpSegment) => boolean {
  return ({ options }) => options.some((option) => option.type === type);
}

describe("stack/mptcp: bounds", () => {
  it("16 options of a subflow wait to be said, a further priority is not, a further address is said later", () => {
    const pair = new MptcpPair({ paths: [{}] }).connect();
    const { connection } = pair.client;
    for (let count = 0; count < MOST_SIGNALS + 4; count++) connection.setBackup(0, count % 2 === 0, pair.nowMs);
    const sinceMs = pair.nowMs;
    expect(connection.announce({ addressId: 5, address: ipAddress("203.0.113.9") }, pair.nowMs)).to.equal(true);
    expect(pair.run(() => pair.server.saw("addressAnnounced"), 10_000)).to.equal(true);
    expect(pair.nowMs - sinceMs).to.be.at.least(1000);
    expect(pair.paths[0]?.up.sent.filter(has("priority")).length).to.equal(16);
  });

  it("256 addresses of a peer are remembered, one that is known can change, and no other is taken", () => {
    const { session } = new MptcpPair({ paths: [{}], client: { version: 0 } }).client.connection.parts;
    const book = new AddressBook(session);
    const learn = (addressId: number, address: IpAddress) =>
      book.onAddress({ type: "addAddressV0", addressId, address }).isNew;
    for (let id = 0; id < MOST_PEER_ADDRESSES; id++) expect(learn(id, ipAddress(`10.0.0.${id}`))).to.equal(true);
    // No segment can say it: identifiers have 8 bits.
    expect(learn(256, ipAddress("10.0.1.0"))).to.equal(false);
    expect(learn(7, ipAddress("10.0.1.1"))).to.equal(true);
    expect(book.peerAddresses.length).to.equal(256);
    book.onRemoved(8);
    expect(learn(256, ipAddress("10.0.1.0"))).to.equal(true);
  });

  it("1024 events are kept that nobody asks for, and the newest of them", () => {
    const { connection } = new MptcpPair({ paths: [{}] }).client;
    for (let id = 0; id < MOST_EVENTS + 10; id++) tell(connection.parts, { type: "addressRemoved", addressId: id });
    const kept: number[] = [];
    for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) {
      if (event.type === "addressRemoved") kept.push(event.addressId);
    }
    expect([kept.length, kept[0], kept.at(-1)]).to.deep.equal([1024, 10, 1033]);
  });

  it("the third segment of a join is repeated 6 times, then the subflow is reset and the connection goes on", () => {
    const pair = new MptcpPair({ paths: [{}, {}] }).connect();
    const answersSynOnly = (segment: TcpSegment) => ((segment.flags & TCP_FLAG.syn) === 0 ? [] : [segment]);
    pair.paths[1]?.down.configure({ middlebox: answersSynOnly });
    pair.join(1);
    expect(pair.run(() => pair.client.saw("subflowClosed"), 60_000)).to.equal(true);
    const sent = pair.paths[1]?.up.sent ?? [];
    expect(sent.filter(has("joinAck")).length).to.equal(1 + MOST_JOIN_ACKNOWLEDGEMENTS);
    expect(MOST_JOIN_ACKNOWLEDGEMENTS).to.equal(6);
    expect(sent.at(-1)?.flags).to.satisfy((flags: number) => (flags & TCP_FLAG.rst) !== 0);
    expect(pair.client.connection.subflows.length).to.equal(1);
  });
});
