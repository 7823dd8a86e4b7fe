import {
  decodeClientCounts,
  encodeClientCounts,
  MOST_CLIENTS,
} from "@hybrid-access/core/services/registry/client-counts";
import { expect } from "chai";
import fc from "fast-check";

const key = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((number) => number.toString(16).padStart(16, "0"));

describe("services/registry/client-counts", () => {
  it("reads what it wrote", () => {
    fc.assert(
      fc.property(fc.uniqueArray(key), fc.array(fc.nat(1_000_000), { minLength: 10 }), (keys, counts) => {
        const said = new Map(keys.map((one, index) => [one, counts[index % counts.length] ?? 0]));
        expect(decodeClientCounts(encodeClientCounts(said))).to.deep.equal(said);
      }),
    );
  });

  it("says no more clients than its bound, those with most connections", () => {
    const all = Array.from(
      { length: 2 * MOST_CLIENTS },
      (_, index) => [index.toString(16).padStart(16, "0"), index] as const,
    );
    const read = decodeClientCounts(encodeClientCounts(new Map(all)));
    expect(read?.size).to.equal(MOST_CLIENTS);
    expect(Math.min(...(read?.values() ?? []))).to.equal(MOST_CLIENTS);
  });

  it("takes nothing else for it, and never throws", () => {
    const one = "0000ffff0a010002";
    const tooMany = Array.from({ length: MOST_CLIENTS + 1 }, () => `${one} 1`).join(" ");
    for (const bad of [
      one,
      `${one} -1`,
      `${one} 1e3`,
      `${one} 1000001`,
      `${one.toUpperCase()} 1`,
      `x ${one} 1`,
      tooMany,
    ]) {
      expect(decodeClientCounts(bad), bad.slice(0, 40)).to.equal(undefined);
    }
    fc.assert(
      fc.property(fc.string(), (text) => {
        decodeClientCounts(text);
      }),
    );
  });
});
