import { expect } from "chai";
import { type Figure, renderRows, rowOf } from "../../bench/benchmark.ts";

const FIGURE: Figure = { measured: "share", runs: [0.95, 0.91, 0.93], unit: "1", goal: { atLeast: 0.92 } };

describe("bench/benchmark", () => {
  it("judges a goal by the worst run", () => {
    expect(rowOf(FIGURE)).to.include({ value: 0.93, min: 0.91, max: 0.95, goal: ">= 0.92", met: false });
    expect(rowOf({ ...FIGURE, goal: { atLeast: 0.91 } }).met).to.equal(true);
    expect(rowOf({ ...FIGURE, goal: { atMost: 0.94 } })).to.include({ goal: "<= 0.94", met: false });
    expect(rowOf({ ...FIGURE, goal: { atMost: 0.95 } }).met).to.equal(true);
  });

  it("has neither goal nor verdict for a figure that is only told", () => {
    expect(rowOf({ measured: "rate", runs: [1], unit: "1" })).to.include({ goal: null, met: null });
  });

  it("refuses a figure that was not measured", () => {
    expect(() => rowOf({ ...FIGURE, runs: [] })).to.throw(RangeError);
    expect(() => rowOf({ ...FIGURE, runs: [0.95, Number.NaN] })).to.throw(RangeError);
  });

  it("makes a Markdown table whose lines are equally long", () => {
    const lines = renderRows([rowOf(FIGURE), rowOf({ measured: "x", runs: [1], unit: "s" })])
      .trimEnd()
      .split("\n");
    expect(lines).to.have.length(4);
    expect(new Set(lines.map((line) => line.length)).size).to.equal(1);
    expect(lines[2]).to.contain("NO");
  });
});
