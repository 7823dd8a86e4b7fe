/** What is done about a slow subflow that holds up the window. */
import { isFaster, isToBePenalized } from "@hybrid-access/core/policy/blocked-window";
import { expect } from "chai";

const HOLDER = { smoothedRttMs: 150, isRecovering: false, penalizedMs: undefined };

describe("policy/blocked-window", () => {
  it("bytes go once more over a subflow that is faster, and over none that is as slow or was never measured", () => {
    expect(isFaster({ smoothedRttMs: 149 }, HOLDER)).to.equal(true);
    expect(isFaster({ smoothedRttMs: 150 }, HOLDER)).to.equal(false);
    expect(isFaster({ smoothedRttMs: undefined }, HOLDER)).to.equal(false);
    expect(isFaster({ smoothedRttMs: 20 }, { ...HOLDER, smoothedRttMs: undefined })).to.equal(true);
  });

  it("the slow one is penalized once in each of its round trips, and not while it repairs a loss", () => {
    expect(isToBePenalized(HOLDER, 0, 1000)).to.equal(true);
    expect(isToBePenalized({ ...HOLDER, penalizedMs: 1000 }, 0, 1149)).to.equal(false);
    expect(isToBePenalized({ ...HOLDER, penalizedMs: 1000 }, 0, 1150)).to.equal(true);
    expect(isToBePenalized({ ...HOLDER, isRecovering: true }, 0, 1000)).to.equal(false);
  });

  it("nor within a round trip after the peer's window has grown", () => {
    expect(isToBePenalized(HOLDER, 1000, 1149)).to.equal(false);
    expect(isToBePenalized(HOLDER, 1000, 1150)).to.equal(true);
  });
});
