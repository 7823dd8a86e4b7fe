import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { GatewayMemory } from "@hybrid-access/hcpe/gateway-memory";
import { newOpening, type Opening } from "@hybrid-access/hcpe/opening";
import { expect } from "chai";

const TEN_MINUTES_MS = 600_000;

/** A connection to a gateway over an uplink. */
function over(gateway: number, uplink: number): Opening {
  const opening = newOpening({ address: ipAddress("192.0.2.1"), port: 80 });
  return { ...opening, gateway, uplink: { name: `uplink ${uplink}`, index: uplink } };
}

describe("hcpe/gateway-memory", () => {
  let memory: GatewayMemory;

  beforeEach(() => {
    memory = new GatewayMemory();
  });

  it("has a gateway probed at most every 500 ms, however many connections doubt it, and others beside it", () => {
    const asked = [0, 1, 499, 500, 501, 999, 1000].filter((nowMs) => memory.doubt(0, nowMs));
    expect(asked).to.deep.equal([0, 500, 1000]);
    expect(memory.doubt(1, 1000)).to.equal(true);
  });

  it("goes without Fast Open for 10 minutes on the way on which it failed, and on no other", () => {
    memory.fastOpenFailed(over(0, 1), 1000);
    const may = (opening: Opening, passedMs: number) => memory.mayOpenFast(opening, 1000 + passedMs);
    expect([0, TEN_MINUTES_MS - 1, TEN_MINUTES_MS].map((passedMs) => may(over(0, 1), passedMs))).to.deep.equal([
      false,
      false,
      true,
    ]);
    expect([may(over(0, 0), 0), may(over(1, 1), 0)]).to.deep.equal([true, true]);
    memory.fastOpenFailed(over(0, 1), 1000 + TEN_MINUTES_MS);
    expect(may(over(0, 1), TEN_MINUTES_MS + 1)).to.equal(false);
  });

  it("does not ask a gateway for its limit for 10 minutes that does not know the question", () => {
    memory.limitUnknown(0, 1000);
    const may = [0, TEN_MINUTES_MS - 1, TEN_MINUTES_MS].map((passedMs) => memory.mayAskForLimit(0, 1000 + passedMs));
    expect(may).to.deep.equal([false, false, true]);
    expect(memory.mayAskForLimit(1, 1000)).to.equal(true);
  });

  it("knows nothing of another gateway in the same place", () => {
    memory.fastOpenFailed(over(1, 0), 0);
    memory.fastOpenFailed(over(10, 0), 0);
    memory.limitUnknown(1, 0);
    memory.doubt(1, 0);
    memory.forget(1);
    expect([memory.mayOpenFast(over(1, 0), 1), memory.mayAskForLimit(1, 1), memory.doubt(1, 1)]).to.deep.equal([
      true,
      true,
      true,
    ]);
    expect(memory.mayOpenFast(over(10, 0), 1)).to.equal(false);
  });
});
