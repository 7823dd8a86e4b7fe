/** The short form of `npm run bench -- congestion`: one seed of each. */
import { BALIA } from "@hybrid-access/core/policy/congestion/balia";
import { LIA } from "@hybrid-access/core/policy/congestion/lia";
import { NEW_RENO } from "@hybrid-access/core/policy/congestion/new-reno";
import { OLIA } from "@hybrid-access/core/policy/congestion/olia";
import { WEIGHTED_VEGAS } from "@hybrid-access/core/policy/congestion/weighted-vegas";
import { expect } from "chai";
import { Contest } from "./contest.ts";
import {
  DISJOINT_LINES,
  disjointPaths,
  JITTERY_LINES,
  SHARED_LINE,
  scenarioC,
  sharedBottleneck,
} from "./situations.ts";

const SEED = 1;
/** Until slow start is forgotten, and several losses later. */
const SHARED = { settleMs: 5000, measureMs: 15_000 };
const ALONE = { settleMs: 2000, measureMs: 4000 };

describe("congestion control in the simulator", function () {
  this.timeout(30_000);

  it("takes with two subflows about twice what one TCP takes where these are not coupled", () => {
    expect(sharedBottleneck(NEW_RENO, SEED, SHARED)).to.be.within(1.6, 2.4);
  });

  for (const algorithm of [LIA, OLIA, BALIA]) {
    it(`takes about what one TCP takes with ${algorithm.name}`, () => {
      expect(sharedBottleneck(algorithm, SEED, SHARED)).to.be.within(0.7, 1.5);
    });
  }

  it("leaves more to TCP by delay than TCP leaves to it", () => {
    expect(sharedBottleneck(WEIGHTED_VEGAS, SEED, SHARED)).to.be.below(0.8);
  });

  it("fills two lines of its own though it is coupled", () => {
    for (const algorithm of [OLIA, BALIA]) {
      expect(disjointPaths(algorithm, SEED, ALONE, DISJOINT_LINES), algorithm.name).to.be.above(0.85);
    }
  });

  it("uses a line with jitter less by delay than by loss", () => {
    expect(disjointPaths(WEIGHTED_VEGAS, SEED, ALONE, JITTERY_LINES)).to.be.below(0.7);
    expect(disjointPaths(LIA, SEED, ALONE, JITTERY_LINES)).to.be.above(0.85);
  });

  it("takes less from others with OLIA than with LIA, where it has a line of its own (CONEXT12, scenario C)", () => {
    const [olia, lia] = [OLIA, LIA].map((algorithm) => scenarioC(algorithm, SEED, SHARED));
    expect(olia?.plain).to.be.above(1.08 * (lia?.plain ?? Number.NaN));
    // What the ones get is not lost by the others: both lines are full.
    for (const { plain, multipath } of [olia, lia] as { plain: number; multipath: number }[]) {
      expect(plain + multipath).to.be.above(1.8);
    }
  });

  it("is the same for the same seed", () => {
    const run = (seed: number) => {
      const senders = [{ congestion: OLIA, lines: [0, 0] }];
      const contest = new Contest({ lines: [SHARED_LINE], senders, seed });
      contest.run(2000);
      return [contest.simulator.counters, contest.subflowBytes(0)];
    };
    expect(run(1)).to.deep.equal(run(1));
    expect(run(1)).to.not.deep.equal(run(2));
  });
});
