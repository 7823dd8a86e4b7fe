import { GATEWAY_BUSY, GATEWAY_DOWN, GATEWAY_UNUSED, GATEWAY_UP } from "@hybrid-access/hcpe/carrier-setup";
import { chooseGateway } from "@hybrid-access/hcpe/gateway-choice";
import { NO_GATEWAY } from "@hybrid-access/hcpe/opening";
import { expect } from "chai";

const [UP, DOWN, BUSY, UNUSED] = [GATEWAY_UP, GATEWAY_DOWN, GATEWAY_BUSY, GATEWAY_UNUSED];

describe("the choice of a gateway for a connection", () => {
  for (const [what, states, tried, gateway, reason] of [
    ["the first that is up", [UP, UP], [], 0, "the first"],
    ["the next while the first is down", [DOWN, UP], [], 1, "others are down or busy"],
    ["the next while the first is busy", [BUSY, UP], [], 1, "others are down or busy"],
    ["the first of busy ones, when no other is up", [DOWN, BUSY, BUSY], [], 1, "all are busy"],
    ["the next when the first has failed this connection", [UP, UP], [0], 1, "the next"],
    ["a busy one when those that are up have failed it", [UP, BUSY], [0], 1, "the next"],
    ["none when all have been tried", [UP, UP], [0, 1], NO_GATEWAY, "none is up"],
    ["none when none is up", [DOWN, UNUSED], [], NO_GATEWAY, "none is up"],
    ["none when there is none", [], [], NO_GATEWAY, "none is up"],
  ] as const) {
    it(`takes ${what}, and says why`, () => {
      expect(chooseGateway(states.length, (place) => states[place] ?? DOWN, tried)).to.deep.equal({ gateway, reason });
    });
  }
});
