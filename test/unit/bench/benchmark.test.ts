import { expect } from "chai";
import { type Figure, renderFigures, rowOf } from "../../bench/benchmark.ts";

const FIGURE: Figure = { measured: "share", runs: [0.95, 0.91, 0.93], unit: "1", goal: { atLeast: 0.92 } };

describe("bench/benchmark", () => {
  it("judges a goal by the worst run", () => {
    expect(rowOf(FIGURE)).to.include({ value: 0.93, min: 0.91, max: 0.95, goal: ">= 0.92", met: false });
    expect(rowOf({ ...FIGURE, goal: { atLeast: 0.91 } }).met).to.equal(true);
    expect(rowOf({ ...FIGURE, goal: { atMost: 0.94 } })).to.include({ goal: "<= 0.94", met: false });
    expect(rowOf({ ...FIGURE, goal: { atMost: 0.95 } }).met).to.equal(true);
  });

  it("judges a comparison by its median", () => {
    expect(rowOf({ ...FIGURE, judged: "median" })).to.include({ value: 0.93, met: true });
    expect(rowOf({ ...FIGURE, goal: { atMost: 0.92 }, judged: "median" }).met).to.equal(false);
  });

  it("calls a tie what misses its goal by less than the noise; it is not met", () => {
    const tied: Figure = { ...FIGURE, goal: { atLeast: 1 }, judged: "median", tie: 0.93 };
    expect(rowOf(tied)).to.include({ goal: ">= 1 (tie from 0.93)", met: false });
    expect(lastCell(tied)).to.equal("tie");
    expect(lastCell({ ...tied, tie: 0.94 })).to.equal("NO");
    expect(lastCell({ ...tied, goal: { atMost: 0.9 } })).to.equal("tie");
    expect(lastCell({ ...tied, goal: { atLeast: 0.93 } })).to.equal("yes");
  });

  it("has neither goal nor verdict for a figure that is only told", () => {
    expect(rowOf({ measured: "rate", runs: [1], unit: "1" })).to.include({ goal: null, met: null });
  });

  it("refuses a figure that was not measured", () => {
    expect(() => rowOf({ ...FIGURE, runs: [] })).to.throw(RangeError);
    expect(() => rowOf({ ...FIGURE, runs: [0.95, Number.NaN] })).to.throw(RangeError);
  });

  it("makes a Markdown table whose lines are equally long", () => {
    const lines = renderFigures([FIGURE, { measured: "x", runs: [1], unit: "s" }])
      .trimEnd()
      .split("\n");
    expect(lines).to.have.length(4);
    expect(new Set(lines.map((line) => line.length)).size).to.equal(1);
    expect(lines[2]).to.contain("NO");
  });
});

/** The cell "met" of a figure's line. */
function lastCell(figure: Figure): string | undefined {
  return renderFigures([figure]).trimEnd().split("\n").at(-1)?.split("|").at(-2)?.trim();
}
