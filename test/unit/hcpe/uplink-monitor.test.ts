import { SystemError } from "@hybrid-access/core/platform/errno";
import type { LinkState } from "@hybrid-access/core/platform/netlink/route";
import { UplinkMonitor } from "@hybrid-access/hcpe/uplink-monitor";
import type { Uplink } from "@hybrid-access/hcpe/uplinks";
import { expect } from "chai";
import { VirtualTime } from "../../support/virtual-time.ts";

const LTE: Uplink = {
  config: { name: "lte", interface: "wwan0", cost: 1 },
  state: "up",
  interfaceIndex: 7,
  receivedBytes: 0,
  sentBytes: 0,
  paths: [],
};

describe("the uplink monitor", () => {
  let links: () => LinkState[];
  let failures: unknown[];
  let looks: number;
  let monitor: UplinkMonitor;

  function link(receivedBytes: number): LinkState {
    return { index: 7, name: "wwan0", up: true, carrier: true, receivedBytes, sentBytes: 0 };
  }

  beforeEach(() => {
    failures = [];
    looks = 0;
    links = () => [link(1000)];
    monitor = new UplinkMonitor({
      routes: { links: () => links() },
      diagnostics: () => ({ connections: () => [], subflows: () => [], close() {} }),
      uplinks: () => [LTE],
      connections: () => 0,
      onVerdict: () => expect.fail("nothing was carried"),
      onFailure: (error) => failures.push(error),
      onTraffic: () => {
        looks += 1;
      },
    });
  });
  afterEach(() => monitor.stop());

  it("gives an interface's bytes and rates from two looks, and none from one", async () => {
    await monitor.look();
    expect(monitor.reading("lte").interface).to.include({ receivedBytes: 1000, downBitsPerSecond: 0 });
    links = () => [link(126_000)];
    await monitor.look();
    expect(monitor.reading("lte").interface?.receivedBytes).to.equal(126_000);
    expect(monitor.reading("lte").interface?.downBitsPerSecond).to.be.greaterThan(0);
  });

  it("takes an interface that was made anew for one that begins at 0", async () => {
    await monitor.look();
    links = () => [link(10)];
    await monitor.look();
    expect(monitor.reading("lte").interface?.downBitsPerSecond).to.equal(0);
  });

  describe("looks", () => {
    let time: VirtualTime;

    beforeEach(() => {
      time = new VirtualTime();
    });
    afterEach(() => time.end());

    it("every 500 ms, or 20 times as long as a look takes after it", async () => {
      monitor.start();
      await time.pass(1999);
      expect(looks).to.equal(4);
      links = () => {
        // So long the kernel takes.
        time.nowMs += 100;
        return [link(1000)];
      };
      await time.pass(1);
      expect(looks).to.equal(5);
      await time.pass(2000 + 100 - 1 - 100);
      expect(looks).to.equal(5);
      await time.pass(1);
      expect(looks).to.equal(6);
    });

    it("no more once it was stopped", async () => {
      monitor.start();
      await time.pass(0);
      monitor.stop();
      await time.pass(10_000);
      expect(looks).to.equal(1);
    });
  });

  it("says once that the kernel did not answer, keeps what it knows, and goes on", async () => {
    await monitor.look();
    links = () => {
      throw new SystemError(105, "list interfaces");
    };
    await monitor.look();
    await monitor.look();
    expect(failures).to.have.length(1);
    expect(monitor.reading("lte").interface?.receivedBytes).to.equal(1000);
    links = () => [link(2000)];
    await monitor.look();
    expect(looks).to.equal(2);
    expect(monitor.reading("lte").interface?.receivedBytes).to.equal(2000);
  });
});
