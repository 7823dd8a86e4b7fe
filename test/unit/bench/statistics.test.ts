import { expect } from "chai";
import { bestOf, median, percentile, ratios } from "../../bench/statistics.ts";

describe("bench/statistics", () => {
  it("takes the middle of an odd number of runs, and the mean of the two in the middle of an even one", () => {
    expect(median([3, 1, 2])).to.equal(2);
    expect(median([4, 1, 2, 3])).to.equal(2.5);
    expect(median([])).to.be.NaN;
  });

  it("takes percentiles by nearest rank", () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(percentile(hundred, 0.5)).to.equal(50);
    expect(percentile(hundred, 0.99)).to.equal(99);
    expect(percentile(hundred, 1)).to.equal(100);
    expect(percentile([7], 0.01)).to.equal(7);
    expect(percentile([], 0.5)).to.be.NaN;
  });

  it("finds the best by the median, whichever way is better", () => {
    const runs = new Map([
      ["steady", [10, 10, 10]],
      ["lucky once", [1, 99, 2]],
    ]);
    expect(bestOf(runs, "more")).to.equal("steady");
    expect(bestOf(runs, "less")).to.equal("lucky once");
    expect(bestOf(new Map(), "more")).to.equal(undefined);
  });

  it("compares run by run", () => {
    expect(ratios([2, 9], [1, 3])).to.deep.equal([2, 3]);
    expect(ratios([2, 9], [1])[1]).to.be.NaN;
  });
});
