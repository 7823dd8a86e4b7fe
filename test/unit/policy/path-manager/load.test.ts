import { FREE_MS, FULL_MS, UplinkLoad } from "@hybrid-access/core/policy/path-manager/load";
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
    expect(freeMs[0]).to.be.within(6000 + FREE_MS, 6000 + FREE_MS + FULL_MS);
  });

  it("starts to wait anew when the load comes back in between", () => {
    expect(play(steps([20, 1000], [10, 1500], [20, 1000], [10, 1500], [20, 1000])).freeMs).to.deep.equal([]);
  });
});
