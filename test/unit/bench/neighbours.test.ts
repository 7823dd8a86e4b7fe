import { expect } from "chai";
import { busySeconds, othersShare } from "../../bench/neighbours.ts";

describe("bench/neighbours", () => {
  it("counts a CPU's work, and neither idling nor waiting for disks", () => {
    const stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 1 2 5000 700 3 4 90 0 0\ncpu12 0 0 0 1 0 0 0 0 0 0\nintr 5\n";
    expect([...busySeconds(stat)]).to.deep.equal([
      [0, 2],
      [12, 0],
    ]);
  });

  it("averages over the CPUs that are not ours", () => {
    const before = new Map([
      [0, 5],
      [1, 5],
      [2, 5],
    ]);
    const after = new Map([
      [0, 7],
      [1, 6],
      [2, 5],
    ]);
    expect(othersShare(0, before, after, 2)).to.equal(0.25);
    expect(othersShare(0, new Map([[0, 1]]), new Map([[0, 2]]), 1)).to.equal(0);
  });
});
