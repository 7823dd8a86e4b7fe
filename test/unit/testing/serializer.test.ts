import { TraceSerializer } from "@hybrid-access/core/testing/serializer";
import { expect } from "chai";
import fc from "fast-check";

describe("testing/serializer: packet-delivery traces", () => {
  it("sends 1500 bytes at each time of the trace, small packets together, large ones over several", () => {
    const link = new TraceSerializer([2, 3, 3, 10]);
    expect([1500, 700, 700, 700, 3000].map((bytes) => link.send(0, bytes))).to.deep.equal([2, 3, 3, 3, 12]);
    expect(link.waitingBytes(2.5)).to.equal(5100);
    expect(link.waitingBytes(12)).to.equal(0);
  });

  it("lets an opportunity pass that nobody uses, and begins again behind the last one", () => {
    const link = new TraceSerializer([2, 10]);
    expect(link.send(2.5, 100)).to.equal(10);
    expect(link.send(11, 100)).to.equal(12);
    expect(link.send(1_000_000_003, 100)).to.equal(1_000_000_010);
  });

  it("refuses a trace with which no time would pass, or that goes back", () => {
    for (const trace of [[], [0], [0, 0], [3, 2]]) expect(() => new TraceSerializer(trace)).to.throw(RangeError);
  });

  it("never carries more than the trace allows, and keeps the order", () => {
    const trace = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(
        trace,
        fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 4000 })), { maxLength: 30 }),
        (unsorted, sent) => {
          const times = unsorted.toSorted((a, b) => a - b);
          const link = new TraceSerializer(times);
          let nowMs = 0;
          let [bytes, last] = [0, 0];
          for (const [gap, size] of sent) {
            nowMs += gap;
            bytes += size;
            const leavesAt = link.send(nowMs, size);
            expect(leavesAt).to.be.at.least(Math.max(last, nowMs));
            last = leavesAt;
            const turns = Math.floor(leavesAt / (times.at(-1) ?? 1)) + 1;
            expect(bytes).to.be.at.most(turns * times.length * 1500);
          }
        },
      ),
    );
  });
});
