import { randomBelow, SeededRandom } from "@hybrid-access/core/base/random";
import { expect } from "chai";
import fc from "fast-check";

function numbers(seed: number, count: number): number[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: count }, () => random.next());
}

describe("base/random", () => {
  it("repeats a run of the same seed exactly, and no other's", () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), (seed) => {
        expect(numbers(seed, 20)).to.deep.equal(numbers(seed, 20));
        expect(numbers(seed, 20)).to.not.deep.equal(numbers(seed ^ 1, 20));
      }),
    );
  });

  it("is spread evenly over [0, 1)", () => {
    const tenths = new Array<number>(10).fill(0);
    for (const number of numbers(1, 10_000)) {
      expect(number).to.be.within(0, 1 - Number.EPSILON);
      const tenth = Math.floor(number * 10);
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    for (const count of tenths) expect(count).to.be.within(900, 1100);
  });

  it("gives every whole number below a bound, and none beyond", () => {
    const random = new SeededRandom(7);
    const seen = new Set(Array.from({ length: 200 }, () => randomBelow(random, 6)));
    expect(Array.from(seen).toSorted()).to.deep.equal([0, 1, 2, 3, 4, 5]);
  });
});
