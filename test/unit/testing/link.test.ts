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
});
