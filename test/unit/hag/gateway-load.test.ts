import { GatewayLoad } from "@hybrid-access/hag/gateway-load";
import { expect } from "chai";
import { VirtualTime } from "../../support/virtual-time.ts";

describe("hag/gateway-load", () => {
  it("is told anew every 500 ms: the share of connections, and all while the gateway takes no more", async () => {
    const time = new VirtualTime();
    const load = new GatewayLoad();
    let [active, takesMore, told] = [0, true, 0];
    try {
      load.start({ active: () => active, most: 200, takesMore: () => takesMore, onTold: () => told++ });
      const percent = () => new Int32Array(load.memory)[0];
      active = 50;
      await time.pass(499);
      expect(percent()).to.equal(0);
      await time.pass(1);
      expect(percent()).to.equal(25);
      active = 300;
      await time.pass(500);
      expect(percent()).to.equal(100);
      [active, takesMore] = [0, false];
      await time.pass(500);
      expect(percent()).to.equal(100);
      takesMore = true;
      await time.pass(500);
      expect([percent(), told]).to.deep.equal([0, 4]);
      load.stop();
      await time.pass(5000);
      expect(told).to.equal(4);
    } finally {
      time.end();
    }
  });
});
