import { ByteQueue } from "@hybrid-access/core/base/byte-queue";
import { expect } from "chai";
import fc from "fast-check";

/** Writes, reads and drops in any order. */
const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("push"), bytes: fc.uint8Array({ maxLength: 5000 }) }),
    fc.record({ do: fc.constant("pushOwned"), bytes: fc.uint8Array({ maxLength: 5000 }) }),
    fc.record({ do: fc.constant("read"), length: fc.nat(4000) }),
    fc.record({ do: fc.constant("discard"), length: fc.nat(6000) }),
    fc.record({ do: fc.constant("view"), at: fc.double({ min: 0, max: 1, noNaN: true }), length: fc.nat(6000) }),
  ),
  { maxLength: 40 },
);

describe("base/byte-queue", () => {
  it("does what an array of all bytes would do", () => {
    fc.assert(
      fc.property(steps, fc.nat(1000), (todo, start) => {
        const queue = new ByteQueue(start);
        let model: number[] = [];
        let at = start;
        for (const step of todo) {
          if ("bytes" in step) {
            if (step.do === "push") queue.push(step.bytes);
            else queue.pushOwned(step.bytes.slice());
            model = [...model, ...step.bytes];
          } else if ("at" in step) {
            const from = Math.floor(step.at * model.length);
            const length = Math.min(step.length, model.length - from);
            expect(Array.from(queue.view(at + from, length))).to.deep.equal(model.slice(from, from + length));
          } else if (step.do === "read") {
            const into = new Uint8Array(step.length);
            const length = queue.read(into);
            expect(Array.from(into.subarray(0, length))).to.deep.equal(model.slice(0, step.length));
            model = model.slice(length);
            at += length;
          } else {
            queue.discardTo(at + step.length);
            at += Math.min(step.length, model.length);
            model = model.slice(step.length);
          }
          expect([queue.start, queue.end, queue.size]).to.deep.equal([at, at + model.length, model.length]);
        }
      }),
    );
  });

  it("gives no bytes that it does not have", () => {
    const queue = new ByteQueue();
    queue.push(new Uint8Array(10));
    queue.discardTo(4);
    expect(() => queue.view(3, 2)).to.throw(RangeError);
    expect(() => queue.view(8, 3)).to.throw(RangeError);
  });
});
