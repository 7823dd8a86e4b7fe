import { FREE_MEAN_MS, FREE_MS, FULL_MS, UplinkLoad } from "@hybrid-access/core/policy/path-manager/load";
import { expect } from "chai";

const DSL = new Set(["dsl"]);
const STEP_MS = 100;

/** Plays rates in Mbit/s, one each 100 ms; gives the times when DSL became full and free. */
function play(rates: readonly number[], lte: readonly number[] = []): { fullMs: number[]; freeMs: number[] } {
  const load = new UplinkLoad(new Map([["dsl", { down: 20e6, up: 5e6 }]]));
  const changes = { fullMs: [] as number[], freeMs: [] as number[] };
  load.isFull(DSL);
  for (const [index, rate] of rates.entries()) {
    const nowMs = index * STEP_MS;
    const sample = (uplink: string, megabits: number) => ({
      uplink,
      downBitsPerSecond: megabits * 1e6,
      upBitsPerSecond: 0,
    });
    if (!load.update([sample("dsl", rate), sample("lte", lte[index] ?? 0)], nowMs)) continue;
    (load.isFull(DSL) ? changes.fullMs : changes.freeMs).push(nowMs);
  }
  return changes;
}

function steps(...parts: readonly (readonly [number, number])[]): number[] {
  return parts.flatMap(([rate, durationMs]) => Array<number>(durationMs / STEP_MS).fill(rate));
}

describe("uplink load", () => {
  it("is full once it has carried nearly all of its rate for a while", () => {
    const { fullMs } = play(steps([2, 1000], [20, 2000]));
    expect(fullMs).to.have.lengthOf(1);
    expect(fullMs[0]).to.be.within(1000 + FULL_MS / 2, 1000 + FULL_MS);
  });

  it("is not full by bursts, whose mean is 60 %", () => {
    const bursts = Array.from({ length: 200 }, (_, index) => (index % 5 < 3 ? 20 : 0));
    expect(play(bursts).fullMs).to.deep.equal([]);
  });

  it("does not flap where the load stays between the two thresholds", () => {
    const { fullMs, freeMs } = play([...steps([20, 1000]), ...Array.from({ length: 600 }, (_, i) => 17 + (i % 2))]);
    expect(fullMs).to.have.lengthOf(1);
    expect(freeMs).to.deep.equal([]);
  });

  it("is free again when everything would have fitted for a while, what a dearer uplink carries included", () => {
    const dsl = steps([20, 1000], [10, 5000], [10, 5000]);
    const lte = steps([0, 1000], [10, 5000], [0, 5000]);
    const { freeMs } = play(dsl, lte);
    expect(freeMs).to.have.lengthOf(1);
    expect(freeMs[0]).to.be.within(6000 + FREE_MS, 6000 + FREE_MS + FREE_MEAN_MS);
  });

  it("is free in at most 4 s, whatever it carried before, also when the load that fits comes in bursts", () => {
    const bursts = Array.from({ length: 50 }, (_, index) => (index % 10 < 6 ? 20 : 0));
    const { freeMs } = play([...steps([20, 2000]), ...bursts], steps([30, 2000], [0, 5000]));
    expect(freeMs[0]).to.be.within(2000 + FREE_MS, 2000 + FREE_MS + FREE_MEAN_MS);
  });

  it("is what was learnt where nothing is configured, and what is configured otherwise", () => {
    const load = new UplinkLoad(new Map([["dsl", { down: 0, up: 5e6 }]]));
    load.isFull(DSL);
    const feed = (down: number, up: number) => {
      for (let step = 0; step < 20; step++, nowMs += STEP_MS) {
        load.update([{ uplink: "dsl", downBitsPerSecond: down, upBitsPerSecond: up }], nowMs);
      }
      return load.isFull(DSL);
    };
    let nowMs = 0;
    expect(feed(20e6, 0)).to.equal(false);
    load.learn(new Map([["dsl", { down: 20e6, up: 1e6 }]]));
    expect(feed(20e6, 0)).to.equal(true);
    feed(0, 0);
    expect(feed(0, 0)).to.equal(false);
    expect(feed(0, 1e6)).to.equal(false);
  });

  it("starts to wait anew when the load comes back in between", () => {
    expect(play(steps([20, 1000], [10, 1500], [20, 1000], [10, 1500], [20, 1000])).freeMs).to.deep.equal([]);
  });
});
