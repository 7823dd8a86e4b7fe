import { HyStart } from "@hybrid-access/core/policy/congestion/hystart";
import { expect } from "chai";

const SEGMENT = 1000;

/** Ten acknowledgements that take one round trip together, and the next one's positions. */
class Rounds {
  readonly hyStart = new HyStart();
  #position = 0;

  /** Returns by how much the window grew for each acknowledgement, from the one on that saw what the round is like. */
  round(rttMs: number, samples = 10): number {
    const end = this.#position + samples * SEGMENT;
    let last = 0;
    for (let count = 0; count < samples; count++) {
      this.#position += SEGMENT;
      const sentTo = end + (count + 1) * SEGMENT;
      last = this.hyStart.growthBytes({ bytes: SEGMENT, rttMs, acknowledgedTo: this.#position, sentTo: sentTo });
    }
    return last;
  }
}

describe("policy/congestion: HyStart++ (RFC 9406)", () => {
  it("leaves growth as it is while round trips take the same time", () => {
    const rounds = new Rounds();
    for (let count = 0; count < 50; count++) expect(rounds.round(40 + (count % 3))).to.equal(SEGMENT);
    expect(rounds.hyStart.isOver).to.equal(false);
  });

  it("grows by a quarter once a round trip takes an eighth longer than the last one, at least 4 ms and at most 16 ms", () => {
    const cases = [
      { before: 40, longer: 45 },
      { before: 8, longer: 12 },
      { before: 400, longer: 416 },
    ];
    for (const { before, longer } of cases) {
      const [still, grown] = [new Rounds(), new Rounds()];
      for (const rounds of [still, grown]) for (let count = 0; count < 3; count++) rounds.round(before);
      expect(still.round(longer - 1)).to.equal(SEGMENT);
      expect(grown.round(longer)).to.equal(SEGMENT / 4);
    }
  });

  it("is over after five such rounds", () => {
    const rounds = new Rounds();
    rounds.round(40);
    rounds.round(40);
    let took = 0;
    for (; !rounds.hyStart.isOver && took < 20; took++) rounds.round(60 + took);
    expect(took).to.be.within(5, 6);
  });

  it("goes on with slow start when it was jitter", () => {
    const rounds = new Rounds();
    rounds.round(40);
    rounds.round(40);
    expect(rounds.round(60)).to.equal(SEGMENT / 4);
    rounds.round(41);
    expect(rounds.round(41)).to.equal(SEGMENT);
    for (let count = 0; count < 10; count++) rounds.round(41);
    expect(rounds.hyStart.isOver).to.equal(false);
  });

  it("does not decide by fewer than eight measurements", () => {
    const rounds = new Rounds();
    rounds.round(40, 7);
    rounds.round(40, 7);
    expect(rounds.round(400, 7)).to.equal(SEGMENT);
  });
});
