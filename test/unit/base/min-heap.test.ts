import { MinHeap } from "@hybrid-access/core/base/min-heap";
import { expect } from "chai";
import fc from "fast-check";

/** A key to push, or undefined to pop. */
const STEPS = fc.array(fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined, freq: 3 }), { maxLength: 200 });

describe("base/min-heap", () => {
  it("gives the smallest key first, and equal keys in the order they came", () => {
    fc.assert(
      fc.property(STEPS, (steps) => {
        const heap = new MinHeap<number>();
        let model: { key: number; value: number }[] = [];
        for (const [value, key] of steps.entries()) {
          if (key !== undefined) {
            heap.push(key, value);
            // A stable sort keeps the order of equal keys.
            model = [...model, { key, value }].sort((left, right) => left.key - right.key);
          } else {
            expect(heap.pop()).to.equal(model.shift()?.value);
          }
          expect(heap.size).to.equal(model.length);
          expect(heap.nextKey).to.equal(model[0]?.key);
        }
      }),
    );
  });

  it("forgets what is not to be kept, and keeps the order of the rest", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9 })), fc.integer({ min: 0, max: 9 }), (keys, dropped) => {
        const heap = new MinHeap<number>();
        for (const [value, key] of keys.entries()) heap.push(key, value);
        heap.retain((key) => key !== dropped);
        const kept = Array.from(keys.entries()).filter(([, key]) => key !== dropped);
        const expected = kept.toSorted(([, left], [, right]) => left - right).map(([value]) => value);
        expect(Array.from(kept, () => heap.pop())).to.deep.equal(expected);
        expect(heap.size).to.equal(0);
      }),
    );
  });
});
