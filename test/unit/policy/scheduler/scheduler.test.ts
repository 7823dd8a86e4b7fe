/** What every scheduler must do, and the choice of usable subflows before it. */

import { LOWEST_RTT } from "@hybrid-access/core/policy/scheduler/lowest-rtt";
import { type SchedulableSubflow, usableSubflows } from "@hybrid-access/core/policy/scheduler/scheduler";
import { SCHEDULERS } from "@hybrid-access/core/policy/scheduler/schedulers";
import { SEGMENT_SIZE_RULES } from "@hybrid-access/core/policy/segment-size/segment-size";
import { expect } from "chai";
import fc from "fast-check";

function subflow(part: Partial<SchedulableSubflow> = {}): SchedulableSubflow {
  return { smoothedRttMs: 50, sendableBytes: 1000, isBackup: false, isStale: false, ...part };
}

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
        fc.property(fc.array(anySubflow, { minLength: 1, maxLength: 8 }), (subflows) => {
          const chosen = scheduler.choose(subflows);
          if (chosen === undefined) expect(subflows.every(({ sendableBytes }) => sendableBytes === 0)).to.equal(true);
          else expect(chosen.sendableBytes).to.be.above(0);
        }),
      );
    });
  }

  it("lowest-rtt takes the fastest one that has room, and one that was never measured last", () => {
    const [fast, slow, unknown] = [subflow({ smoothedRttMs: 10 }), subflow(), subflow({ smoothedRttMs: undefined })];
    expect(LOWEST_RTT.choose([unknown, slow, fast])).to.equal(fast);
    expect(LOWEST_RTT.choose([unknown, slow, subflow({ smoothedRttMs: 10, sendableBytes: 0 })])).to.equal(slow);
    expect(LOWEST_RTT.choose([unknown])).to.equal(unknown);
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
