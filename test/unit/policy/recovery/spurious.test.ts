import { ForwardRto } from "@hybrid-access/core/policy/recovery/forward-rto";
import { type SpuriousInput, SpuriousJudge } from "@hybrid-access/core/policy/recovery/spurious";
import { MOST_REPETITIONS } from "@hybrid-access/core/policy/recovery/spurious-repetitions";
import { expect } from "chai";

const SEGMENT = 1000;
/** Without timestamps, without a duplicate, nothing lost. */
const PLAIN = { echoedMs: undefined, duplicate: undefined, someLost: false };

function segment(number: number, transmissions = 1) {
  return { start: number * SEGMENT, end: (number + 1) * SEGMENT, transmissions };
}

function judge(of: SpuriousJudge, part: Partial<SpuriousInput> & Pick<SpuriousInput, "position">): boolean {
  return of.isSpurious({ ...PLAIN, advanced: true, delivered: [], ...part });
}

describe("policy/recovery: what was needless", () => {
  describe("by timestamps (RFC 3522)", () => {
    it("a recovery, when what fills the gap was sent before it was sent again", () => {
      for (const [echoedMs, expected] of [
        [90, true],
        [100, false],
      ] as const) {
        const recovery = new SpuriousJudge();
        recovery.onRepeated(segment(0), 100.7);
        expect(judge(recovery, { position: 5000, echoedMs, delivered: [segment(0, 2)] })).to.equal(expected);
      }
    });

    it("a recovery, only when that is so of all that was sent again", () => {
      const input = { echoedMs: 90 };
      const recovery = new SpuriousJudge();
      recovery.onRepeated(segment(0), 100);
      recovery.onRepeated(segment(4), 100);
      expect(judge(recovery, { ...input, position: 4000 })).to.equal(false);
      expect(judge(recovery, { ...input, position: 9000, someLost: true })).to.equal(false);
      expect(judge(recovery, { ...input, position: 10_000 })).to.equal(true);
      const needed = new SpuriousJudge();
      needed.onRepeated(segment(0), 100);
      needed.onRepeated(segment(4), 100);
      expect(judge(needed, { echoedMs: 100, position: 4000 })).to.equal(false);
      expect(judge(needed, { echoedMs: 90, position: 9000 })).to.equal(false);
    });

    it("not where a selective acknowledgement leaves open which copy has arrived", () => {
      const recovery = new SpuriousJudge();
      recovery.onRepeated(segment(0), 100);
      recovery.onRepeated(segment(4), 100);
      judge(recovery, { position: 0, advanced: false, echoedMs: 50, delivered: [segment(4, 2)] });
      expect(judge(recovery, { position: 9000, echoedMs: 90 })).to.equal(false);
    });

    it("a timeout, by the first acknowledgement, though the rest still counts as lost", () => {
      const timeout = new SpuriousJudge(9000);
      timeout.onRepeated(segment(0), 400);
      expect(judge(timeout, { position: 1000, echoedMs: 100, someLost: true })).to.equal(true);
      const needed = new SpuriousJudge(9000);
      needed.onRepeated(segment(0), 400);
      expect(judge(needed, { position: 1000, echoedMs: 400, someLost: true })).to.equal(false);
      expect(judge(needed, { position: 2000, echoedMs: 100, someLost: true })).to.equal(false);
    });
  });

  describe("by reported duplicates (RFC 3708)", () => {
    it("is so when each repetition has arrived beside the original", () => {
      const recovery = new SpuriousJudge();
      recovery.onRepeated(segment(0), 100);
      recovery.onRepeated(segment(4), 100);
      expect(judge(recovery, { position: 9000, advanced: false, duplicate: segment(0) })).to.equal(false);
      expect(judge(recovery, { position: 9000, advanced: false, duplicate: segment(7) })).to.equal(false);
      expect(judge(recovery, { position: 9000, advanced: false, duplicate: segment(4) })).to.equal(true);
    });

    it("takes one report for one of two repetitions of the same bytes", () => {
      const recovery = new SpuriousJudge();
      recovery.onRepeated(segment(0), 100);
      recovery.onRepeated(segment(0), 200);
      expect(judge(recovery, { position: 9000, advanced: false, duplicate: segment(0) })).to.equal(false);
      expect(judge(recovery, { position: 9000, advanced: false, duplicate: segment(0) })).to.equal(true);
    });

    it("remembers so many repetitions, and undoes nothing after more", () => {
      for (const [count, expected] of [
        [MOST_REPETITIONS, true],
        [MOST_REPETITIONS + 1, false],
      ] as const) {
        const recovery = new SpuriousJudge();
        for (let number = 0; number < count; number++) recovery.onRepeated(segment(number), 100);
        const duplicate = { start: 0, end: count * SEGMENT };
        expect(judge(recovery, { position: count * SEGMENT, duplicate })).to.equal(expected);
      }
    });
  });

  describe("by new data after a timeout (F-RTO, RFC 5682)", () => {
    const first = { position: 1000, advanced: true, deliveredTo: 1000, deliversOriginal: false };

    it("is so when what was sent before is acknowledged and nothing of the new data", () => {
      for (const advanced of [true, false]) {
        const forward = new ForwardRto(9000);
        expect(forward.onAcknowledgement(first)).to.equal("sendNew");
        const nothing = { position: 1000, advanced: false, deliveredTo: undefined, deliversOriginal: false };
        expect(forward.onAcknowledgement(nothing)).to.equal("undecided");
        const next = { position: advanced ? 2000 : 1000, advanced, deliveredTo: 2000, deliversOriginal: true };
        expect(forward.onAcknowledgement(next)).to.equal("spurious");
      }
    });

    it("is not so when new data arrives before that, or nothing is acknowledged, or all is", () => {
      const forward = new ForwardRto(9000);
      forward.onAcknowledgement(first);
      const newData = { position: 1000, advanced: false, deliveredTo: 10_000, deliversOriginal: true };
      expect(forward.onAcknowledgement(newData)).to.equal("genuine");
      expect(new ForwardRto(9000).onAcknowledgement({ ...first, advanced: false })).to.equal("genuine");
      expect(new ForwardRto(9000).onAcknowledgement({ ...first, position: 9000 })).to.equal("genuine");
    });

    it("asks for two segments of new data, and for no repetition until they have told", () => {
      const timeout = new SpuriousJudge(9000);
      timeout.onRepeated(segment(0), 400);
      expect(judge(timeout, { position: 1000, delivered: [segment(0, 2)], someLost: true })).to.equal(false);
      expect(timeout.forwardSegments).to.equal(2);
      expect(timeout.holdsRepetitions).to.equal(true);
      timeout.onForwarded();
      timeout.onNothingToForward();
      expect(timeout.forwardSegments).to.equal(0);
      expect(timeout.holdsRepetitions).to.equal(true);
      expect(judge(timeout, { position: 2000, delivered: [segment(1)], someLost: true })).to.equal(true);
      expect(timeout.holdsRepetitions).to.equal(false);
    });

    it("gives up where there is no new data, at another timeout, and where timestamps can tell", () => {
      const ends: ((timeout: SpuriousJudge) => void)[] = [
        (timeout) => timeout.onNothingToForward(),
        (timeout) => timeout.onRepeatedTimeout(),
        (timeout) => judge(timeout, { position: 1000, advanced: false, echoedMs: 400 }),
      ];
      for (const end of ends) {
        const timeout = new SpuriousJudge(9000);
        timeout.onRepeated(segment(0), 400);
        judge(timeout, { position: 1000, delivered: [segment(0, 2)], someLost: true });
        end(timeout);
        expect(timeout.forwardSegments).to.equal(0);
        expect(timeout.holdsRepetitions).to.equal(false);
      }
    });
  });
});
