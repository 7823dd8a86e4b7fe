import { isBefore, toPosition, toPosition64, toSequence, toSequence64 } from "@hybrid-access/core/base/sequence";
import { expect } from "chai";
import fc from "fast-check";

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const position = fc.integer({ min: 0, max: 2 ** 45 });

describe("base/sequence", () => {
  it("is the inverse of itself for everything within 2^31 of what is expected", () => {
    fc.assert(
      fc.property(uint32, position, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (origin, reference, offset) => {
        const meant = reference + offset;
        expect(toPosition(origin, toSequence(origin, meant), reference)).to.equal(meant);
      }),
    );
  });

  it("is the inverse of itself in 64 bits, across the end of the range", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), position, (origin, meant) => {
        expect(toPosition64(origin, toSequence64(origin, meant))).to.equal(meant);
      }),
    );
    expect(toSequence64(2n ** 64n - 1n, 1)).to.equal(0n);
  });

  it("compares as RFC 9293 section 3.4 does", () => {
    expect(isBefore(0xffff_ffff, 0)).to.equal(true);
    expect(isBefore(0, 0xffff_ffff)).to.equal(false);
    expect(isBefore(5, 5)).to.equal(false);
    expect(isBefore(0, 0x7fff_ffff)).to.equal(true);
  });
});
