import { expect } from "chai";
import { selectionOf } from "../../bench/selection.ts";

const PARTS = { only: ["up", "down"], variants: ["ours", "a peer"] };

describe("bench/selection", () => {
  it("selects everything, in the benchmark's own number of rounds, when nothing is asked for", () => {
    const selection = selectionOf({}, { parts: PARTS });
    expect(selection).to.include({ runs: undefined, quick: false });
    expect(selection.only("up")).to.equal(true);
    expect(selection.variant("a peer")).to.equal(true);
  });

  it("selects what is named", () => {
    const selection = selectionOf({ runs: "3", quick: true, only: "up", variant: "a peer, ours" }, { parts: PARTS });
    expect(selection).to.include({ runs: 3, quick: true });
    expect(["up", "down"].filter(selection.only)).to.deep.equal(["up"]);
    expect(["ours", "a peer"].filter(selection.variant)).to.deep.equal(["ours", "a peer"]);
  });

  it("says what there is when something unknown is named", () => {
    expect(() => selectionOf({ only: "up,sideways" }, { parts: PARTS })).to.throw("no sideways; there is up, down");
    expect(() => selectionOf({ variant: "" }, { parts: PARTS })).to.throw("there is ours, a peer");
  });

  it("takes whole numbers of rounds only", () => {
    for (const runs of ["0", "1.5", "many", "-1", "101"]) {
      expect(() => selectionOf({ runs }, { parts: PARTS }), runs).to.throw("--runs");
    }
  });

  it("refuses options to a benchmark that has no parts", () => {
    expect(() => selectionOf({ quick: true }, {})).to.throw("as a whole");
    expect(selectionOf({}, {}).quick).to.equal(false);
  });
});
