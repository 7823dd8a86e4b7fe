import { existsSync, readFileSync, rmSync } from "node:fs";
import { Simulator } from "@hybrid-access/core/testing/simulator/simulator";
import { expect } from "chai";
import { ECHO_SCENARIO } from "./echo-scenario.ts";
import { FUZZ_SCENARIO } from "./fuzz-scenario.ts";
import { MPTCP_SCENARIO } from "./mptcp-scenario.ts";
import type { Scenario } from "./scenario.ts";
import { FailedSeed, runSeeds } from "./seeds.ts";
import { TCP_SCENARIO } from "./tcp-scenario.ts";

describe("simulation", () => {
  it("gets every byte of 500 seeds echoed over random links and middleboxes, and comes to rest", function () {
    this.timeout(60_000);
    const { outcomes } = runSeeds(ECHO_SCENARIO, { first: 1, count: 500 });
    expect(outcomes.complete).to.be.greaterThan(1800);
  });

  /** Together 1000; `npm run simulate` runs more. */
  const RUNS: readonly (readonly [Scenario, string, number])[] = [
    [TCP_SCENARIO, "finished with plain TCP", 1500],
    [MPTCP_SCENARIO, "finished with several subflows", 250],
  ];
  for (const [scenario, outcome, least] of RUNS) {
    it(`delivers every byte of 500 seeds of ${scenario.name} once and in order, or resets; leaves nothing behind`, function () {
      this.timeout(300_000);
      const { outcomes } = runSeeds(scenario, { first: 1, count: 500 });
      expect(outcomes[outcome]).to.be.greaterThan(least);
    });
  }

  /** Seeds that have failed, with what was wrong. */
  const MENDED: readonly (readonly [Scenario, number, string])[] = [
    [MPTCP_SCENARIO, 1583, "a subflow that was closed too early was taken for the end of the stream"],
    [MPTCP_SCENARIO, 3853, "the same"],
    [
      MPTCP_SCENARIO,
      7469,
      "bytes repeated behind themselves for a peer that had become plain TCP, whose plain acknowledgements were late",
    ],
    [MPTCP_SCENARIO, 7592, "a join that a plain peer had refused kept the other side from following it into plain TCP"],
    [MPTCP_SCENARIO, 25_208, "the same, with a path that loses large segments"],
  ];
  for (const [scenario, seed, what] of MENDED) {
    it(`goes well with seed ${seed} of ${scenario.name}, which has shown: ${what}`, () => {
      expect(runSeeds(scenario, { first: seed, count: 1 }).seeds).to.equal(1);
    });
  }
  it("changes 20,000 segments of 150 seeds: no host stops, is busy for ever, keeps too much, or harms another connection", function () {
    this.timeout(120_000);
    const { counts } = runSeeds(FUZZ_SCENARIO, { first: 1, count: 150 });
    expect(counts.mutated).to.be.greaterThan(20_000);
  });

  it("repeats a run exactly: the same capture for the same seed, another one for another", () => {
    for (const scenario of [ECHO_SCENARIO, MPTCP_SCENARIO, FUZZ_SCENARIO]) {
      const capture = (seed: number) => scenario.run(seed, true).simulator.recorder?.file("") ?? new Uint8Array();
      expect(capture(7).length).to.be.greaterThan(1000);
      expect(Buffer.compare(capture(7), capture(7))).to.equal(0);
      expect(Buffer.compare(capture(7), capture(8))).to.not.equal(0);
    }
  });

  describe("a seed that fails", () => {
    function failing(run: Scenario["run"]): FailedSeed {
      try {
        runSeeds({ name: "made-up", run }, { first: 3, count: 5 });
      } catch (error) {
        if (error instanceof FailedSeed) return error;
        throw error;
      }
      throw new RangeError("nothing has failed");
    }

    it("is named, with the command that repeats it, its paths and a capture", () => {
      const error = failing((seed, records) => {
        const simulator = new Simulator({ hosts: {}, paths: {}, seed, records });
        return {
          simulator,
          describePaths: () => "dsl: slow",
          outcomes: [],
          failure: seed === 5 ? "a byte is missing" : undefined,
        };
      });
      expect(error.seed).to.equal(5);
      expect(error.message).to.match(/^made-up, seed 5: a byte is missing\n/);
      expect(error.message).to.contain("npm run simulate -- --scenario made-up --first 5 --seeds 1\n");
      expect(error.message).to.match(/\ndsl: slow$/);
      const [, file = ""] = /capture: (\S+)/.exec(error.message) ?? [];
      expect(existsSync(file)).to.equal(true);
      expect(readFileSync(file).includes("a byte is missing")).to.equal(true);
      rmSync(file);
    });

    it("may be one that throws, or that does not fail again", () => {
      const thrown = failing(() => {
        throw new RangeError("no such state");
      });
      expect(thrown.message).to.match(/^made-up, seed 3: RangeError: no such state\n/);
      let runs = 0;
      const fickle = failing((seed, records) => {
        runs += 1;
        const simulator = new Simulator({ hosts: {}, paths: {}, seed, records });
        return { simulator, describePaths: () => "", outcomes: [], failure: runs === 1 ? "late" : undefined };
      });
      expect(fickle.message).to.contain("repeated at once it ended otherwise: well");
      rmSync(/capture: (\S+)/.exec(fickle.message)?.[1] ?? "");
    });
  });
});
