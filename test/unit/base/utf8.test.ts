import { encodeUtf8 } from "@hybrid-access/core/base/utf8";
import { expect } from "chai";
import fc from "fast-check";

describe("base/utf8", () => {
  it("encodes as TextEncoder does, half a surrogate pair too", () => {
    const encoder = new TextEncoder();
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.string({ unit: fc.nat(0xffff).map((unit) => String.fromCharCode(unit)) }),
        (points, units) => {
          for (const text of [points, units]) expect(encodeUtf8(text)).to.deep.equal(encoder.encode(text));
        },
      ),
    );
  });
});
