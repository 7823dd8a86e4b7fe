import { SeededRandom } from "@hybrid-access/core/base/random";
import { Link, type LinkOptions } from "@hybrid-access/core/testing/link";
import { expect } from "chai";

/** Sends `count` packets of 1250 bytes at time 0 and gives [arrival in ms, number] of each that arrives. */
function arrivals(options: LinkOptions, count: number): [number, number][] {
  const link = new Link(options, new SeededRandom(1));
  for (let index = 0; index < count; index++) {
    const packet = new Uint8Array(1250);
    packet[0] = index;
    link.enqueue(packet, 0);
  }
  const seen: [number, number][] = [];
  for (let at = link.nextDeliveryMs; at !== undefined; at = link.nextDeliveryMs) {
    seen.push([at, link.deliver(at)?.[0] ?? -1]);
  }
  return seen;
}

describe("testing/link", () => {
  it("takes 1 ms for 1250 bytes at 10 Mbit/s, then the delay", () => {
    expect(arrivals({ rateBitsPerSecond: 10_000_000, delayMs: 5 }, 3)).to.deep.equal([
      [6, 0],
      [7, 1],
      [8, 2],
    ]);
  });

  it("drops at the tail what its queue cannot hold", () => {
    expect(arrivals({ rateBitsPerSecond: 10_000_000, queueBytes: 2500 }, 10)).to.have.length(2);
  });

  it("keeps order under jitter", () => {
    const numbers = arrivals({ jitterMs: 50 }, 100).map(([, number]) => number);
    expect(numbers).to.deep.equal(numbers.toSorted((a, b) => a - b));
  });

  it("loses and reorders the share it was told to", () => {
    expect(arrivals({ loss: 0.25 }, 200).length).to.be.within(130, 170);
    const numbers = arrivals({ reorder: 0.1, reorderMs: 3 }, 200).map(([, number]) => number);
    const late = numbers.filter((number, index) => numbers.slice(0, index).some((earlier) => earlier > number));
    expect(late.length).to.be.within(8, 40);
  });

  it("loses in bursts, whose length and share are as Gilbert and Elliott say", () => {
    const numbers = arrivals({ burstLoss: { enter: 0.02, leave: 0.2 } }, 5000).map(([, number]) => number);
    expect(numbers.length / 5000).to.be.within(0.87, 0.94);
    const link = new Link({ burstLoss: { enter: 0.02, leave: 0.2 } }, new SeededRandom(2));
    let bursts = 0;
    let wasLost = false;
    for (let count = 0; count < 20_000; count++) {
      const before = link.counters.lostPackets;
      link.enqueue(new Uint8Array(1), count);
      const isLost = link.counters.lostPackets > before;
      if (isLost && !wasLost) bursts += 1;
      wasLost = isLost;
    }
    expect(link.counters.lostPackets / bursts).to.be.within(4, 6);
  });

  it("duplicates and corrupts the share it was told to, one bit each, in the copy that arrives", () => {
    expect(arrivals({ duplicate: 0.25 }, 200).length).to.be.within(230, 270);
    const link = new Link({ corrupt: 1 }, new SeededRandom(1));
    for (let count = 0; count < 100; count++) link.enqueue(new Uint8Array(10), 0);
    for (let packet = link.deliver(0); packet !== undefined; packet = link.deliver(0)) {
      const bits = packet.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
      expect(bits).to.equal(1);
    }
  });

  it("sends when its trace says so, and drops what the queue cannot hold", () => {
    expect(arrivals({ trace: [4, 9], delayMs: 1, queueBytes: 2500 }, 10)).to.deep.equal([
      [5, 0],
      [10, 1],
    ]);
  });
});
