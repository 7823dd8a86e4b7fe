import { EventLog } from "@hybrid-access/hcpe/event-log";
import { expect } from "chai";
import fc from "fast-check";

describe("the event log", () => {
  it("keeps the last events, in order and without a gap, whatever its size", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(60), fc.nat(70), (capacity, added, after) => {
        const log = new EventLog(capacity);
        for (let event = 1; event <= added; event++) log.add(`event ${event}`, () => ({}));
        const kept = log.since(after);
        const first = Math.max(after, added - capacity, 0) + 1;
        const wanted = Array.from({ length: Math.max(0, added - first + 1) }, (_, index) => first + index);
        expect(kept.map(({ sequence }) => sequence)).to.deep.equal(wanted);
        expect(kept.map(({ event }) => event)).to.deep.equal(wanted.map((number) => `event ${number}`));
      }),
    );
  });

  it("tells its followers until they leave", () => {
    const log = new EventLog(2);
    const heard: unknown[] = [];
    log.add("before", () => ({}));
    const leave = log.follow((event) => heard.push(event));
    log.add("during", () => ({ uplink: "lte" }), 0);
    leave();
    log.add("after", () => ({}));
    expect(heard).to.deep.equal([{ sequence: 2, time: "1970-01-01T00:00:00.000Z", event: "during", uplink: "lte" }]);
  });
});
