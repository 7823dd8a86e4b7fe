import { FlowTable } from "@hybrid-access/core/testing/middlebox/flow-table";
import { expect } from "chai";

describe("testing/middlebox: flow table", () => {
  it("forgets who was silent for the longest time when it is full", () => {
    const table = new FlowTable<number>(Number.POSITIVE_INFINITY, 2);
    table.set("a", 1, 0);
    table.set("b", 2, 1);
    expect(table.get("a", 2)).to.equal(1);
    table.set("c", 3, 3);
    expect([table.get("a", 4), table.get("b", 4), table.get("c", 4), table.size]).to.deep.equal([1, undefined, 3, 2]);
  });

  it("forgets who was silent for too long", () => {
    const table = new FlowTable<number>(10);
    table.set("a", 1, 0);
    expect(table.get("a", 10)).to.equal(1);
    expect(table.get("a", 21)).to.equal(undefined);
    expect(table.getOrMake("a", 22, () => 2)).to.equal(2);
  });
});
