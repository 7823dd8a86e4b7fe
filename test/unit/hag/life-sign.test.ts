import type { Logger } from "@hybrid-access/core/services/log";
import { LifeSign } from "@hybrid-access/hag/farm/life-sign";
import { expect } from "chai";
import { eventually } from "../../support/eventually.ts";

describe("hag/farm/life-sign", () => {
  it("is given at once, and each time long before the last one has run out", async () => {
    const atMs: number[] = [];
    const lives: number[] = [];
    const sign = new LifeSign(
      {
        renew(lifeMs) {
          atMs.push(performance.now());
          lives.push(lifeMs);
        },
        close() {},
      },
      { error: () => {} } as unknown as Logger,
    );
    try {
      expect(atMs.length).to.equal(1);
      await eventually(5000, () => expect(atMs.length).to.be.at.least(6));
    } finally {
      sign.stop();
    }
    // What else the machine does only makes pauses longer: the shortest is the timer's.
    const pauses = atMs.slice(1).map((ms, index) => ms - (atMs[index] ?? 0));
    expect(3 * Math.min(...pauses)).to.be.below(Math.min(...lives));
  });

  it("is tried again when the kernel does not take it, which is told once", async () => {
    let tries = 0;
    const told: string[] = [];
    const log = { error: (_: object, message: string) => told.push(message) } as unknown as Logger;
    const renew = () => {
      tries += 1;
      if (tries !== 3) throw new Error("no such table");
    };
    const sign = new LifeSign({ renew, close() {} }, log);
    try {
      await eventually(5000, () => expect(tries).to.be.at.least(6));
    } finally {
      sign.stop();
    }
    // Once before the sign that was taken, once after it.
    expect(told.length).to.equal(2);
  });
});
