/** What every scheduler must do, and the choice of usable subflows before it. */

import { SeededRandom } from "@hybrid-access/core/base/random";
import { LOWEST_RTT } from "@hybrid-access/core/policy/scheduler/lowest-rtt";
import { RANDOM } from "@hybrid-access/core/policy/scheduler/random";
import { ROUND_ROBIN } from "@hybrid-access/core/policy/scheduler/round-robin";
import { type SchedulableSubflow, usableSubflows } from "@hybrid-access/core/policy/scheduler/scheduler";
import { SCHEDULERS, schedulerNamed } from "@hybrid-access/core/policy/scheduler/schedulers";
import { SEGMENT_SIZE_RULES } from "@hybrid-access/core/policy/segment-size/segment-size";
import { commonSettings } from "@hybrid-access/core/services/config/common";
import { expect } from "chai";
import fc from "fast-check";

function subflow(part: Partial<SchedulableSubflow> = {}): SchedulableSubflow {
  return { id: 0, smoothedRttMs: 50, sendableBytes: 1000, isBackup: false, isStale: false, ...part };
}

const makeRandom = () => new SeededRandom(7);

const anySubflow = fc.record({
  smoothedRttMs: fc.option(fc.integer({ min: 1, max: 500 }), { nil: undefined }),
  sendableBytes: fc.constantFrom(0, 1, 1000, 100_000),
  isBackup: fc.boolean(),
  isStale: fc.boolean(),
});

describe("policy/scheduler", () => {
  for (const scheduler of SCHEDULERS) {
    it(`${scheduler.name} chooses one that can send, whenever there is one`, () => {
      fc.assert(
        fc.property(fc.array(anySubflow, { minLength: 1, maxLength: 8 }), (parts) => {
          const subflows = parts.map((part, id) => ({ id, ...part }));
          const chosen = scheduler.create(makeRandom).choose(subflows);
          if (chosen === undefined) expect(subflows.every(({ sendableBytes }) => sendableBytes === 0)).to.equal(true);
          else expect(chosen.sendableBytes).to.be.above(0);
        }),
      );
    });
  }

  it("lowest-rtt takes the fastest one that has room, and one that was never measured last", () => {
    const [fast, slow, unknown] = [subflow({ smoothedRttMs: 10 }), subflow(), subflow({ smoothedRttMs: undefined })];
    const scheduler = LOWEST_RTT.create();
    expect(scheduler.choose([unknown, slow, fast])).to.equal(fast);
    expect(scheduler.choose([unknown, slow, subflow({ smoothedRttMs: 10, sendableBytes: 0 })])).to.equal(slow);
    expect(scheduler.choose([unknown])).to.equal(unknown);
  });

  it("round-robin gives each its turn, leaves out those without room, and goes on where one was opened or closed", () => {
    const scheduler = ROUND_ROBIN.create();
    const [a, b, c] = [0, 2, 5].map((id) => subflow({ id }));
    if (a === undefined || b === undefined || c === undefined) throw new Error("three subflows");
    const turns = (...subflows: SchedulableSubflow[]) => scheduler.choose(subflows)?.id;
    expect([turns(c, a, b), turns(c, a, b), turns(c, a, b), turns(c, a, b)]).to.deep.equal([0, 2, 5, 0]);
    expect(turns(a, subflow({ id: 2, sendableBytes: 0 }), c)).to.equal(5);
    expect(turns(a, b)).to.equal(0);
    expect(turns(a, c, subflow({ id: 7 }))).to.equal(5);
    expect(turns(a, c, subflow({ id: 7 }))).to.equal(7);
  });

  it("round-robin of one connection knows nothing of another's", () => {
    const [one, other] = [ROUND_ROBIN.create(), ROUND_ROBIN.create()];
    const subflows = [subflow({ id: 0 }), subflow({ id: 1 })];
    expect([one.choose(subflows)?.id, other.choose(subflows)?.id, one.choose(subflows)?.id]).to.deep.equal([0, 0, 1]);
  });

  it("random takes each with room as often as the others, and the same ones again from the same seed", () => {
    const subflows = [0, 1, 2, 3].map((id) => subflow({ id, smoothedRttMs: 10 ** id, sendableBytes: id * 1000 }));
    const choices = (): (number | undefined)[] => {
      const scheduler = RANDOM.create(makeRandom);
      return Array.from({ length: 6000 }, () => scheduler.choose(subflows)?.id);
    };
    const chosen = choices();
    expect(choices()).to.deep.equal(chosen);
    // 2000 each; the standard deviation is 37.
    for (const id of [1, 2, 3]) expect(chosen.filter((each) => each === id).length).to.be.within(1850, 2150);
    expect(chosen).not.to.include(0);
  });

  it("the configuration names every scheduler", () => {
    const { expects } = commonSettings("hcpe").scheduler.format;
    for (const { name } of SCHEDULERS) expect(expects).to.include(name);
    expect(SCHEDULERS.map(({ name }) => schedulerNamed(name).name)).to.deep.equal(SCHEDULERS.map(({ name }) => name));
    expect(schedulerNamed("default").name).to.equal("lowest-rtt");
  });

  it("backups are usable when no regular subflow works, and stale ones when nothing else is there", () => {
    const [regular, backup] = [subflow(), subflow({ isBackup: true })];
    const [stale, staleBackup] = [subflow({ isStale: true }), subflow({ isStale: true, isBackup: true })];
    expect(usableSubflows([regular, backup, stale])).to.deep.equal([regular]);
    expect(usableSubflows([backup, stale])).to.deep.equal([backup]);
    expect(usableSubflows([stale, staleBackup])).to.deep.equal([stale, staleBackup]);
  });

  it("segment-size rules say a size that some subflow has", () => {
    const sizes = SEGMENT_SIZE_RULES.map(({ name, segmentBytes }) => [name, segmentBytes(1428, [1428, 1420])]);
    expect(sizes).to.deep.equal([
      ["own", 1428],
      ["smallest", 1420],
    ]);
  });
});
