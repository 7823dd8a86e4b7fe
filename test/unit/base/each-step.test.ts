import { takeEachStep } from "@hybrid-access/core/base/each-step";
import { expect } from "chai";

describe("base/each-step", () => {
  it("takes the steps one after the other, waiting for each", async () => {
    const taken: string[] = [];
    await takeEachStep(
      [
        async () => {
          await new Promise((resolve) => setImmediate(resolve));
          taken.push("slow");
        },
        () => taken.push("quick"),
      ],
      () => taken.push("error"),
    );
    expect(taken).to.deep.equal(["slow", "quick"]);
  });

  it("takes what is behind a step that failed, throws the first error and hands over the others", async () => {
    const taken: string[] = [];
    const later: unknown[] = [];
    const fail = (message: string) => () => {
      taken.push(message);
      throw new Error(message);
    };
    const failure = await takeEachStep(
      [fail("one"), () => taken.push("two"), async () => fail("three")(), fail("four")],
      (error) => later.push((error as Error).message),
    ).catch((error: unknown) => error);
    expect(failure).to.be.an("error").with.property("message", "one");
    expect(later).to.deep.equal(["three", "four"]);
    expect(taken).to.deep.equal(["one", "two", "three", "four"]);
  });
});
