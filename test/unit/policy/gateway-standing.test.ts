import { GatewayStanding } from "@hybrid-access/core/policy/gateway-standing";
import { expect } from "chai";
import fc from "fast-check";

describe("policy/gateway-standing", () => {
  it("is used again after one answer when it had been up for long", () => {
    const standing = new GatewayStanding(true);
    standing.onFailure(0);
    expect(standing.up).to.equal(false);
    standing.onAnswer(undefined, 500);
    expect(standing.up).to.equal(true);
  });

  it("must answer for twice as long after each failure that follows a return closely, up to 64 s", () => {
    const standing = new GatewayStanding(true);
    const trials: number[] = [];
    let nowMs = 0;
    for (let round = 0; round < 8; round++) {
      standing.onFailure(nowMs);
      const startMs = nowMs;
      for (; !standing.up; nowMs += 100) standing.onAnswer(undefined, nowMs);
      trials.push(Math.round((nowMs - startMs) / 1000));
    }
    expect(trials).to.deep.equal([0, 2, 4, 8, 16, 32, 64, 64]);
  });

  it("begins the trial anew with each failure, and forgives after a minute of service", () => {
    const standing = new GatewayStanding(true);
    standing.onFailure(0);
    standing.onAnswer(undefined, 1);
    standing.onFailure(2);
    standing.onAnswer(undefined, 100);
    standing.onFailure(2000);
    standing.onAnswer(undefined, 2100);
    standing.onAnswer(undefined, 4099);
    expect(standing.up).to.equal(false);
    standing.onAnswer(undefined, 4100);
    expect(standing.up).to.equal(true);
    standing.onFailure(64_100);
    expect(standing.trialMs).to.equal(0);
  });

  it("is busy from 90 percent on, and free again at 70", () => {
    const standing = new GatewayStanding(true);
    const seen = [89, 90, 71, 70, 89].map((load) => {
      standing.onAnswer(load, 0);
      return standing.busy;
    });
    expect(seen).to.deep.equal([false, true, true, false, false]);
  });

  it("is never used between a failure and the next answer, whatever happens", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ good: fc.boolean(), afterMs: fc.nat(70_000) })), (events) => {
        const standing = new GatewayStanding(true);
        let nowMs = 0;
        for (const { good, afterMs } of events) {
          nowMs += afterMs;
          if (good) standing.onAnswer(undefined, nowMs);
          else standing.onFailure(nowMs);
          if (!good) expect(standing.up).to.equal(false);
          expect(standing.trialMs).to.be.at.most(64_000);
        }
      }),
    );
  });
});
