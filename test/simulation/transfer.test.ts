/**
 * Schedulers, a slow path that holds up a small window, and a subflow with old data, by thresholds. The whole tables are
 * `npm run bench -- scheduler`.
 */
import { SCHEDULERS } from "@hybrid-access/core/policy/scheduler/schedulers";
import type { LinkOptions } from "@hybrid-access/core/testing/link";
import { expect } from "chai";
import { loseSecondPath, lossyTransfer, WIFI_AND_3G } from "../bench/scheduler.ts";
import { Transfer, type TransferPlan } from "./transfer.ts";

const NEITHER = { opportunisticRetransmission: false, penalization: false };

function transfer(plan: Partial<TransferPlan> & { readonly kilobytes: number }) {
  const bufferBytes = 1000 * plan.kilobytes;
  const buffers = { sendBufferBytes: 2 * bufferBytes, receiveBufferBytes: bufferBytes };
  return new Transfer({ seed: 1, paths: WIFI_AND_3G, bytes: 4_000_000, limitMs: 60_000, ...buffers, ...plan }).run();
}

describe("simulation: transfers over given paths", () => {
  it("two paths are slower than the better one alone without reinjection and penalization, and not with them", () => {
    const kilobytes = 200;
    const alone = transfer({ kilobytes, paths: WIFI_AND_3G.slice(0, 1) }).goodputBitsPerSecond;
    const neither = transfer({ kilobytes, settings: NEITHER });
    const both = transfer({ kilobytes });
    expect(neither.goodputBitsPerSecond).to.be.below(0.9 * alone);
    expect([neither.reinjectedBytes, neither.penalizations]).to.deep.equal([0, 0]);
    expect(both.goodputBitsPerSecond).to.be.above(alone);
    expect(both.penalizations).to.be.above(0);
    expect(both.reinjectedBytes).to.be.within(1, 400_000);
  });

  it("each can be switched off by itself", () => {
    const kilobytes = 200;
    const reinjection = transfer({ kilobytes, settings: { penalization: false } });
    const penalization = transfer({ kilobytes, settings: { opportunisticRetransmission: false } });
    expect(reinjection.penalizations).to.equal(0);
    expect(reinjection.reinjectedBytes).to.be.above(0);
    expect(penalization.reinjectedBytes).to.equal(0);
    expect(penalization.penalizations).to.be.above(0);
  });

  it("a slow path that is lost holds a small window up for a shorter time with reinjection", () => {
    const plan = { kilobytes: 400, incident: loseSecondPath };
    const penalization = transfer({ ...plan, settings: { opportunisticRetransmission: false } });
    const both = transfer(plan);
    expect(both.longestStallMs).to.be.below(0.5 * penalization.longestStallMs);
  });

  it("a subflow that a path's loss has left with old data comes to new data sooner when it is reset and opened afresh", () => {
    const runs = (recycling: boolean) =>
      [1, 2, 3].map((seed) => lossyTransfer({ loss: 0.3, forMs: 3000 }, recycling, seed));
    const sum = (rates: readonly number[]) => rates.reduce((total, rate) => total + rate, 0);
    const [kept, recycled] = [runs(false), runs(true)];
    expect(sum(kept.map((one) => one.recycled))).to.equal(0);
    for (const one of recycled) expect(one.recycled).to.be.within(1, 5);
    const afterwards = (of: typeof kept) => sum(of.map((one) => one.afterwardsBitsPerSecond));
    expect(afterwards(recycled)).to.be.above(1.5 * afterwards(kept));
  });

  for (const scheduler of SCHEDULERS) {
    it(`${scheduler.name} uses both of two equal paths`, () => {
      const link: LinkOptions = { rateBitsPerSecond: 20e6, delayMs: 20, queueBytes: 100_000 };
      const { goodputBitsPerSecond } = transfer({ kilobytes: 4000, paths: [link, link], settings: { scheduler } });
      expect(goodputBitsPerSecond).to.be.above(25e6);
    });
  }

  it("a stream that the fast path carries waits for the slow one with round-robin, and not with lowest-rtt", () => {
    const paths = [10, 100].map((delayMs) => ({ rateBitsPerSecond: 20e6, delayMs, queueBytes: 100_000 }));
    const delaysOf = (name: string) => {
      const scheduler = SCHEDULERS.find((each) => each.name === name) ?? SCHEDULERS[0];
      const plan = { kilobytes: 4000, paths, settings: { scheduler }, bytes: 1_000_000, writtenBitsPerSecond: 8e6 };
      return transfer(plan).blockDelaysMs.toSorted((left, right) => left - right);
    };
    // Of 122 blocks nine in ten; the second subflow is there after 0.4 s.
    expect(delaysOf("lowest-rtt")[110]).to.be.below(30);
    expect(delaysOf("round-robin")[110]).to.be.above(90);
  });
});
