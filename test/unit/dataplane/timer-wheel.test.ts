import { TimerWheel } from "@hybrid-access/core/dataplane/timer-wheel";
import { expect } from "chai";
import fc from "fast-check";

const SLOTS = 6;
const TICK_MS = 20;
/** 2048 buckets of a tick: further ahead, a deadline goes round the wheel. */
const ROUND_MS = 2048 * TICK_MS;

const AHEAD_MS = fc.oneof(
  fc.integer({ min: 0, max: 5 * TICK_MS }),
  fc.integer({ min: 0, max: 3 * ROUND_MS }),
  fc.constantFrom(ROUND_MS - TICK_MS, ROUND_MS, ROUND_MS + TICK_MS),
);

type Step =
  | { readonly do: "set"; readonly slot: number; readonly aheadMs: number }
  | { readonly do: "cancel"; readonly slot: number }
  | { readonly do: "pass"; readonly aheadMs: number };

const SLOT = fc.nat(SLOTS - 1);
const STEP: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("set" as const), slot: SLOT, aheadMs: AHEAD_MS }),
  fc.record({ do: fc.constant("cancel" as const), slot: SLOT }),
  fc.record({ do: fc.constant("pass" as const), aheadMs: AHEAD_MS }),
);

function expiredAt(wheel: TimerWheel, nowMs: number): number[] {
  const expired: number[] = [];
  wheel.expire(nowMs, (slot) => expired.push(slot));
  return expired;
}

describe("dataplane/timer-wheel", () => {
  it("expires like a list of deadlines: never early, at most a tick late, each once", () => {
    fc.assert(
      fc.property(fc.array(STEP, { maxLength: 60 }), (steps) => {
        const wheel = new TimerWheel(SLOTS);
        const deadlines = new Map<number, number>();
        let nowMs = 0;
        for (const step of steps) {
          if (step.do === "set") {
            wheel.set(step.slot, nowMs + step.aheadMs);
            deadlines.set(step.slot, nowMs + step.aheadMs);
          } else if (step.do === "cancel") {
            wheel.cancel(step.slot);
            deadlines.delete(step.slot);
          } else {
            nowMs += step.aheadMs;
            for (const slot of expiredAt(wheel, nowMs)) {
              expect(deadlines.get(slot), `slot ${slot} at ${nowMs}`).to.be.at.most(nowMs);
              deadlines.delete(slot);
            }
            for (const [slot, deadlineMs] of deadlines) {
              expect(deadlineMs, `slot ${slot} at ${nowMs}`).to.be.greaterThan(nowMs - 2 * TICK_MS);
            }
          }
          expect(wheel.size).to.equal(deadlines.size);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("never lets a loop that sleeps as long as it says miss a deadline", () => {
    fc.assert(
      fc.property(fc.array(AHEAD_MS, { minLength: 1, maxLength: SLOTS }), (deadlines) => {
        const wheel = new TimerWheel(SLOTS);
        for (const [slot, deadlineMs] of deadlines.entries()) wheel.set(slot, deadlineMs);
        let nowMs = 0;
        let left = deadlines.length;
        for (let turn = 0; left > 0; turn++) {
          expect(turn, "turns of the loop").to.be.lessThan(200);
          const sleepMs = wheel.timeoutMs(nowMs);
          if (sleepMs === undefined) throw new Error("a deadline is set, and the loop would sleep without end");
          nowMs += Math.max(1, sleepMs);
          for (const slot of expiredAt(wheel, nowMs)) {
            expect(nowMs - (deadlines[slot] ?? 0)).to.be.within(0, 2 * TICK_MS);
            left -= 1;
          }
        }
        expect(wheel.timeoutMs(nowMs)).to.equal(undefined);
      }),
    );
  });

  it("lets the callback set and cancel timers, its own included", () => {
    const wheel = new TimerWheel(4);
    for (const slot of [0, 1, 2]) wheel.set(slot, 100);
    const expired: number[] = [];
    wheel.expire(120, (slot) => {
      expired.push(slot);
      if (slot === 0) {
        wheel.cancel(1);
        wheel.set(0, 300);
      }
    });
    expect(expired).to.deep.equal([0, 2]);
    expect(expiredAt(wheel, 400)).to.deep.equal([0]);
  });
});
