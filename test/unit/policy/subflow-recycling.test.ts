/** When a subflow is reset because it only repeats what the peer has. */
import { isToBeRecycled } from "@hybrid-access/core/policy/subflow-recycling";
import { expect } from "chai";

describe("policy/subflow-recycling", () => {
  it("a subflow goes at its second timeout in a row, with nothing the peer still lacks, and beside another one", () => {
    const old = { timeouts: 2, isOvertaken: true, hasOther: true };
    expect(isToBeRecycled(old)).to.equal(true);
    expect(isToBeRecycled({ ...old, timeouts: 3 })).to.equal(true);
    expect(isToBeRecycled({ ...old, timeouts: 1 })).to.equal(false);
    expect(isToBeRecycled({ ...old, isOvertaken: false })).to.equal(false);
    expect(isToBeRecycled({ ...old, hasOther: false })).to.equal(false);
  });
});
