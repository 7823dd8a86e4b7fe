import { PayloadModifier } from "@hybrid-access/core/testing/middlebox/payload-modifier";
import { expect } from "chai";
import { pass, type Seen, text } from "./segments.ts";

function shown([seen]: readonly Seen[]): [number, number, string] {
  const { sequence = 0, acknowledgment = 0, payload } = seen?.segment ?? {};
  return [sequence, acknowledgment, new TextDecoder().decode(payload)];
}

describe("testing/middlebox: payload modifier", () => {
  const box = () => new PayloadModifier({ find: text("PORT"), replacement: text("passive") });

  it("replaces the text, and shifts what comes behind it", () => {
    const modifier = box();
    expect(shown(pass(modifier, "forward", { payload: text("a PORT b PORT c") }))).to.deep.equal([
      1000,
      5000,
      "a passive b passive c",
    ]);
    expect(shown(pass(modifier, "forward", { payload: text("next"), sequence: 1015 }))).to.deep.equal([
      1021,
      5000,
      "next",
    ]);
    // The other direction has had no text.
    const answer = pass(modifier, "backward", { sequence: 5000, acknowledgment: 1025 });
    expect(shown(answer)).to.deep.equal([5000, 1019, ""]);
  });

  it("shifts acknowledgments and SACK between two texts by the first alone", () => {
    const modifier = box();
    pass(modifier, "forward", { payload: text("a PORT b PORT c") });
    const [seen] = pass(modifier, "backward", {
      acknowledgment: 1011,
      options: [{ type: "sack", blocks: [{ left: 1012, right: 1021 }] }],
    });
    expect(seen?.segment.acknowledgment).to.equal(1008);
    expect(seen?.segment.options).to.deep.equal([{ type: "sack", blocks: [{ left: 1009, right: 1015 }] }]);
  });

  it("changes a segment that is sent again in the same way, and after later ones too", () => {
    const modifier = box();
    pass(modifier, "forward", { payload: text("later PORT"), sequence: 1010 });
    expect(shown(pass(modifier, "forward", { payload: text("first PORT"), sequence: 1000 }))).to.deep.equal([
      1000,
      5000,
      "first passive",
    ]);
    expect(shown(pass(modifier, "forward", { payload: text("later PORT"), sequence: 1010 }))).to.deep.equal([
      1013,
      5000,
      "later passive",
    ]);
  });

  it("stops at 256 places of a direction", () => {
    const modifier = box();
    for (let index = 0; index < 257; index++) {
      const [, , seen] = shown(pass(modifier, "forward", { payload: text("PORT"), sequence: 1000 + 4 * index }));
      expect(seen).to.equal(index < 256 ? "passive" : "PORT");
    }
  });
});
