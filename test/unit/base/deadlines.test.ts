import { Deadlines } from "@hybrid-access/core/base/deadlines";
import { expect } from "chai";

describe("base/deadlines", () => {
  it("has one deadline for each name, and says which is the first", () => {
    const deadlines = new Deadlines<"one" | "two">();
    expect(deadlines.nextMs).to.equal(undefined);
    deadlines.set("one", 30);
    deadlines.set("two", 20);
    deadlines.set("one", 10);
    deadlines.setIfIdle("two", 5);
    expect(deadlines.nextMs).to.equal(10);
    expect(deadlines.takeDue(9)).to.equal(undefined);
    expect(deadlines.takeDue(10)).to.equal("one");
    expect([deadlines.isSet("one"), deadlines.isSet("two"), deadlines.nextMs]).to.deep.equal([false, true, 20]);
    deadlines.clear("two");
    deadlines.clear("two");
    expect(deadlines.takeDue(1000)).to.equal(undefined);
  });

  it("forgets everything at once", () => {
    const deadlines = new Deadlines<"one" | "two">();
    deadlines.set("one", 1);
    deadlines.set("two", 2);
    deadlines.clearAll();
    expect(deadlines.nextMs).to.equal(undefined);
  });
});
