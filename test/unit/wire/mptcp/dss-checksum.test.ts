import { addPart, sumWords } from "@hybrid-access/core/wire/checksum";
import { dssChecksum } from "@hybrid-access/core/wire/mptcp/dss-checksum";
import { expect } from "chai";
import fc from "fast-check";

describe("wire/mptcp/dss-checksum", () => {
  it("RFC 8684 section 3.3.1: covers the mapping and its data", () => {
    const mapping = { sequence: 0xfedcba9876543210n, subflowSequence: 1, length: 5 };
    // Computed with another implementation.
    expect(dssChecksum(mapping, sumWords(new TextEncoder().encode("hello")))).to.equal(0x5a4d);
    expect(dssChecksum({ sequence: 0xfedcba9876543215n, subflowSequence: 0, length: 1 }, 0)).to.equal(0x9e1f);
  });

  it("is the same however the data of a mapping is cut into segments, at odd places too", () => {
    const mapping = { sequence: 1n, subflowSequence: 2, length: 3 };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.array(fc.nat(60), { maxLength: 4 }), (data, cuts) => {
        const places = [...cuts.map((cut) => Math.min(cut, data.length)), data.length].toSorted((a, b) => a - b);
        let sum = 0;
        let offset = 0;
        for (const place of places) {
          sum = addPart(sum, offset, data.subarray(offset, place));
          offset = place;
        }
        expect(dssChecksum(mapping, sum)).to.equal(dssChecksum(mapping, sumWords(data)));
      }),
    );
  });
});
