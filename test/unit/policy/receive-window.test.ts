import { INITIAL_WINDOW_BYTES, ReceiveWindow } from "@hybrid-access/core/policy/receive-window";
import { expect } from "chai";

const MOST = 10_000_000;

/** Rounds of 50 ms in each of which the application takes so many bytes. */
function windowAfter(rounds: readonly number[], most = MOST, stepMs = 50): ReceiveWindow {
  const window = new ReceiveWindow(most);
  let nowMs = 1000;
  let taken = 0;
  window.onRound(0, 50, nowMs);
  for (const bytes of rounds) {
    nowMs += stepMs;
    taken += bytes;
    window.onRound(taken, 50, nowMs);
  }
  return window;
}

describe("policy: the receive window", () => {
  it("begins with what slow start needs, or with all where that is less", () => {
    expect(new ReceiveWindow(MOST).bytes).to.equal(INITIAL_WINDOW_BYTES);
    expect(new ReceiveWindow(3000).bytes).to.equal(3000);
  });

  it("is twice what is taken in a round trip, once that does not grow", () => {
    expect(windowAfter([500_000, 500_000, 510_000]).bytes).to.be.within(1_000_000, 2_100_000);
    const steady = windowAfter(Array.from({ length: 100 }, (_, index) => 500_000 + 10 * index));
    expect(steady.bytes).to.be.below(2_100_000);
    expect(windowAfter([1000, 1000, 1000]).bytes).to.equal(INITIAL_WINDOW_BYTES);
  });

  it("leaves a sender in slow start room to double", () => {
    let flight = 14_600;
    const rounds: number[] = [];
    for (; flight < 2_000_000; flight *= 2) {
      rounds.push(flight);
      expect(windowAfter(rounds).bytes).to.be.at.least(2 * flight);
    }
  });

  it("never shrinks, and never exceeds its bound", () => {
    expect(windowAfter([600_000, 1000, 0, 0]).bytes).to.equal(windowAfter([600_000]).bytes);
    expect(windowAfter([1_000_000, 2_000_000], 300_000).bytes).to.equal(300_000);
    const full = windowAfter([1_000_000, 2_000_000], 300_000);
    expect(full.isDue(1e9)).to.equal(false);
  });

  it("counts of what took longer than a round trip only a part", () => {
    expect(windowAfter([600_000], MOST, 500).bytes).to.equal(INITIAL_WINDOW_BYTES);
  });

  it("asks once in a round trip, and not more often than every 10 ms", () => {
    const window = new ReceiveWindow(MOST);
    window.onRound(0, 50, 1000);
    expect([window.isDue(1049), window.isDue(1050)]).to.deep.equal([false, true]);
    window.onRound(0, 0.1, 1050);
    expect([window.isDue(1059), window.isDue(1060)]).to.deep.equal([false, true]);
  });
});
