/** Parts of a Multipath TCP connection by themselves. */
import { DataSender, MOST_REINJECTIONS } from "@hybrid-access/core/stack/mptcp/data-sender";
import { dataPositionOf, MappingList, MOST_MAPPINGS } from "@hybrid-access/core/stack/mptcp/mappings";
import { expect } from "chai";
import fc from "fast-check";
import { pattern } from "../tcp/tcp-pair.ts";

describe("stack/mptcp: mappings", () => {
  it("that agree may overlap in any way, and say of each byte what was said of it", () => {
    const piece = fc.record({ start: fc.integer({ min: 1, max: 200 }), length: fc.integer({ min: 1, max: 50 }) });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const list = new MappingList();
        const said = new Set<number>();
        for (const { start, length } of pieces) {
          const mapping = { start, end: start + length, dataStart: start + 1000, checksum: undefined };
          expect(list.add(mapping)).to.be.oneOf(["added", "known"]);
          for (let at = start; at < start + length; at++) said.add(at);
        }
        for (let at = 1; at < 300; at++) {
          const found = list.find(at);
          expect(found !== undefined).to.equal(said.has(at));
          if (found !== undefined) expect(dataPositionOf(found, at)).to.equal(at + 1000);
        }
      }),
    );
  });

  it("that say something else of the same bytes are conflicts, wherever they overlap (RFC 8041 section 4)", () => {
    const base = { start: 100, end: 200, dataStart: 1100, checksum: undefined };
    for (const [start, end] of [
      [100, 200],
      [50, 101],
      [199, 300],
      [120, 130],
      [50, 300],
    ] as const) {
      const list = new MappingList();
      list.add(base);
      expect(list.add({ start, end, dataStart: start + 1001, checksum: undefined })).to.equal("conflict");
    }
  });

  it("are at most as many as allowed", () => {
    const list = new MappingList();
    for (let index = 0; index < MOST_MAPPINGS; index++) {
      list.append({ start: 2 * index, end: 2 * index + 1, dataStart: index, checksum: undefined });
    }
    expect(list.add({ start: 1e6, end: 1e6 + 1, dataStart: 5, checksum: undefined })).to.equal("full");
    list.discardTo(10);
    expect(list.add({ start: 1e6, end: 1e6 + 1, dataStart: 5, checksum: undefined })).to.equal("added");
  });
});

describe("stack/mptcp: what is to be sent", () => {
  function senderWith(bytes: number): DataSender {
    const sender = new DataSender(1e6);
    sender.write(pattern(bytes));
    sender.onDataAck(1, 1e6);
    return sender;
  }

  it("is given out once, and again only to another subflow than the one that has it", () => {
    const sender = senderWith(10_000);
    expect(sender.takeNew(4000)?.start).to.equal(1);
    sender.reinject(1, 4001, 7);
    expect(sender.takeReinjection(5000, 7)).to.equal(undefined);
    expect(sender.takeReinjection(3000, 8)?.bytes.length).to.equal(3000);
    sender.onDataAck(3501, 1e6);
    expect(sender.takeReinjection(5000, 8)?.start).to.equal(3501);
    expect(sender.hasReinjections).to.equal(false);
    expect(sender.reinjectedBytes).to.equal(3500);
  });

  it("is not acknowledged before it was given out", () => {
    const sender = senderWith(10_000);
    sender.takeNew(4000);
    expect(sender.onDataAck(4002, 1000)).to.equal(false);
    expect(sender.acknowledged).to.equal(1);
    expect(sender.onDataAck(4001, 1000)).to.equal(true);
  });

  it("waits for the peer's window, which never moves back", () => {
    const sender = new DataSender(1e6);
    sender.write(pattern(10_000));
    sender.onDataAck(1, 3000);
    sender.onDataAck(1, 100);
    expect(sender.takeNew(5000)?.bytes.length).to.equal(3000);
    expect(sender.isBlockedByWindow).to.equal(true);
  });

  it("has a bounded number of stretches to be sent again", () => {
    const sender = senderWith(100_000);
    sender.takeNew(100_000);
    for (let at = 1; at < 3 * MOST_REINJECTIONS; at += 2) sender.reinject(at, at + 1, 1);
    let count = 0;
    while (sender.takeReinjection(1, 2) !== undefined) count += 1;
    expect(count).to.equal(MOST_REINJECTIONS);
  });
});
