import { ConnectionDeadlines } from "@hybrid-access/core/stack/connection-deadlines";
import { expect } from "chai";
import fc from "fast-check";

describe("stack/connection-deadlines", () => {
  it("gives each connection at its last moment, and none that has none any more, like a list", () => {
    const change = fc.tuple(fc.nat({ max: 9 }), fc.option(fc.nat({ max: 100 }), { nil: undefined }));
    fc.assert(
      fc.property(fc.array(change), fc.nat({ max: 100 }), (changes, nowMs) => {
        const deadlines = new ConnectionDeadlines<number>();
        const list = new Map<number, number>();
        for (const [connection, atMs] of changes) {
          deadlines.set(connection, atMs);
          if (atMs === undefined) list.delete(connection);
          else list.set(connection, atMs);
        }
        const taken: number[] = [];
        for (let one = deadlines.takeDue(nowMs); one !== undefined; one = deadlines.takeDue(nowMs)) taken.push(one);
        const due = Array.from(list).filter(([, atMs]) => atMs <= nowMs);
        expect(taken.toSorted()).to.deep.equal(due.map(([connection]) => connection).toSorted());
        const left = Array.from(list.values()).filter((atMs) => atMs > nowMs);
        expect(deadlines.nextMs).to.equal(left.length === 0 ? undefined : Math.min(...left));
      }),
    );
  });

  it("keeps no more than twice as many moments as there are connections, and 64", () => {
    const deadlines = new ConnectionDeadlines<number>();
    for (let connection = 0; connection < 10_000; connection++) {
      // It hears from its peer again and again, waits for its end, and is forgotten long before.
      for (let atMs = 0; atMs < 5; atMs++) deadlines.set(connection, 900_000 + connection + atMs);
      if (connection >= 10) deadlines.set(connection - 10, undefined);
      expect(deadlines.size).to.be.at.most(2 * 11 + 64);
    }
  });
});
