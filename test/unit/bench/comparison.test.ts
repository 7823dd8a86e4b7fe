import { expect } from "chai";
import { comparisonFigures, type RatioGoal, type Runs, type Variant } from "../../bench/comparison.ts";

const VARIANTS: readonly Variant[] = [
  { name: "ours", kind: "ours", address: "10.8.1.1" },
  { name: "proxy", kind: "peer", address: "10.8.1.2" },
  { name: "other", kind: "peer", address: "10.8.1.3" },
  { name: "direct", kind: "limit", address: "10.2.2.2" },
];

const RATES: readonly [string, number[]][] = [
  ["ours", [10, 12]],
  ["proxy", [8, 10]],
  ["other", [20, 20]],
  ["direct", [40, 40]],
];

const GOAL: RatioGoal = { measure: "up4", metric: "rate", goal: { atLeast: 1 }, tie: 0.95 };

function figures(rates: readonly [string, number[]][], goal: RatioGoal) {
  const runs: Runs = new Map([["up4", new Map([["rate", new Map(rates)]])]]);
  return comparisonFigures({ runs, neighbours: [0.5] }, VARIANTS, [goal]);
}

describe("bench/comparison", () => {
  it("tells every variant, then ours over the best peer, which is judged, and over the limit, which is not", () => {
    const told = figures(RATES, GOAL);
    const what = "4 connections up: throughput";
    expect(told.map(({ measured }) => measured)).to.deep.equal([
      ...["ours", "proxy", "other", "direct"].map((name) => `${what}, ${name}`),
      `${what}, ours / other`,
      `${what}, ours / direct`,
      "how busy the host's other CPUs were meanwhile",
    ]);
    expect(told[4]).to.deep.include({ runs: [0.5, 0.6], goal: { atLeast: 1 }, judged: "median", tie: 0.95 });
    expect(told[5])
      .to.deep.include({ runs: [0.25, 0.3] })
      .and.not.have.property("goal");
  });

  it("compares with the best of the peers that the goal names", () => {
    const ratio = figures(RATES, { ...GOAL, against: ["proxy"] }).find(({ goal }) => goal !== undefined);
    expect(ratio?.measured).to.equal("4 connections up: throughput, ours / proxy");
    expect(ratio?.runs).to.deep.equal([1.25, 1.2]);
  });

  it("tells no ratio to what was not measured", () => {
    expect(figures([["ours", [1]]], GOAL).map(({ measured }) => measured)).to.have.length(2);
    expect(figures([["proxy", [1]]], GOAL).map(({ measured }) => measured)).to.have.length(2);
  });
});
