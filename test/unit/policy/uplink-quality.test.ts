import { type DirectionSample, UplinkQuality } from "@hybrid-access/core/policy/uplink-quality";
import { expect } from "chai";

const STEP_MS = 500;
const MSS = 1400;
const SILENT: DirectionSample = { bytes: 0, segments: 0, troubledSegments: 0, rttMs: undefined };

/** What a direction carries for a while. */
interface Traffic {
  readonly megabits: number;
  readonly rttMs: number;
  readonly loss?: number;
}

/** An uplink's life in samples: what each said is kept. */
class Trace {
  readonly quality = new UplinkQuality();
  nowMs = 1000;

  run(seconds: number, { down, up, timeouts = 0 }: { down?: Traffic; up?: Traffic; timeouts?: number }): string[] {
    const verdicts: string[] = [];
    for (let elapsedMs = 0; elapsedMs < 1000 * seconds; elapsedMs += STEP_MS) {
      this.nowMs += STEP_MS;
      const sample = { durationMs: STEP_MS, down: directionOf(down), up: directionOf(up), timeouts };
      verdicts.push(this.quality.add(sample, this.nowMs).quality);
    }
    return verdicts;
  }
}

function directionOf(traffic: Traffic | undefined): DirectionSample {
  if (traffic === undefined) return SILENT;
  const bytes = (traffic.megabits * 1_000_000 * STEP_MS) / 8000;
  const segments = Math.round(bytes / MSS);
  return { bytes, segments, troubledSegments: Math.round(segments * (traffic.loss ?? 0)), rttMs: traffic.rttMs };
}

describe("the quality of an uplink", () => {
  it("is good while it carries what it always carries", () => {
    expect(new Trace().run(60, { down: { megabits: 20, rttMs: 50, loss: 0.01 } })).not.to.include("degraded");
  });

  it("is good while its own load makes the queue long and full", () => {
    const trace = new Trace();
    trace.run(5, { down: { megabits: 5, rttMs: 30 } });
    expect(trace.run(30, { down: { megabits: 20, rttMs: 900, loss: 0.08 } })).not.to.include("degraded");
  });

  it("is good while an upload fills the queue that answers of a small download wait in", () => {
    const trace = new Trace();
    trace.run(10, { down: { megabits: 20, rttMs: 30 } });
    const both = { up: { megabits: 5, rttMs: 800 }, down: { megabits: 1, rttMs: 800 } };
    expect(trace.run(30, both)).not.to.include("degraded");
  });

  it("is good when less is asked of it", () => {
    const trace = new Trace();
    trace.run(10, { down: { megabits: 20, rttMs: 200 } });
    trace.run(10, {});
    expect(trace.run(30, { down: { megabits: 0.5, rttMs: 40 } })).not.to.include("degraded");
  });

  for (const [direction, trouble, share] of [
    ["up", "are lost", 0.08],
    ["down", "arrive out of order", 0.15],
  ] as const) {
    it(`is degraded within 4 s when ${100 * share} % of the segments ${trouble} and little gets through`, () => {
      const trace = new Trace();
      trace.run(10, { [direction]: { megabits: 20, rttMs: 30 } });
      const verdicts = trace.run(6, { [direction]: { megabits: 1.5, rttMs: 35, loss: share } });
      expect(verdicts.indexOf("degraded") * STEP_MS).to.be.within(2000, 4000);
      expect(trace.quality.verdict.reason).to.match(new RegExp(`^\\d+ % of the segments ${trouble}$`));
    });
  }

  it("is good when little is asked of a path that reorders now and then", () => {
    const trace = new Trace();
    trace.run(10, { down: { megabits: 20, rttMs: 30 } });
    expect(trace.run(60, { down: { megabits: 2, rttMs: 35, loss: 0.06 } })).not.to.include("degraded");
  });

  it("is degraded when its provider throttles it and packets wait", () => {
    const trace = new Trace();
    trace.run(10, { down: { megabits: 30, rttMs: 60 } });
    expect(trace.run(6, { down: { megabits: 1, rttMs: 900 } })).to.include("degraded");
    expect(trace.quality.verdict.reason).to.match(/^a round trip takes 900 ms instead of 6\d ms$/);
  });

  it("is degraded when nothing comes back, before its subflows die", () => {
    const trace = new Trace();
    trace.run(10, { up: { megabits: 4, rttMs: 30 } });
    expect(trace.run(3, { timeouts: 2 }).indexOf("degraded") * STEP_MS).to.be.at.most(2500);
    expect(trace.quality.verdict.reason).to.equal("nothing comes back");
  });

  it("is not changed by a bad second", () => {
    const trace = new Trace();
    trace.run(10, { down: { megabits: 20, rttMs: 30 } });
    trace.run(1, { down: { megabits: 1, rttMs: 600, loss: 0.2 } });
    expect(trace.run(20, { down: { megabits: 20, rttMs: 30 } })).not.to.include("degraded");
  });

  it("is tried again after 10 s, and after twice as long each time it fails again", () => {
    const trace = new Trace();
    trace.run(10, { down: { megabits: 20, rttMs: 30 } });
    const holds = [1, 2, 3].map(() => {
      while (trace.quality.verdict.quality === "good") trace.run(0.5, { down: { megabits: 1, rttMs: 900 } });
      const sinceMs = trace.nowMs;
      while (trace.quality.verdict.quality === "degraded") trace.run(0.5, {});
      return (trace.nowMs - sinceMs) / 1000;
    });
    expect(holds).to.deep.equal([10, 20, 40]);
  });

  it("is good for good once it has recovered", () => {
    const trace = new Trace();
    trace.run(10, { down: { megabits: 20, rttMs: 30 } });
    trace.run(5, { down: { megabits: 1, rttMs: 900 } });
    trace.run(15, {});
    expect(trace.run(120, { down: { megabits: 20, rttMs: 40 } })).not.to.include("degraded");
  });

  it("takes a lower rate for its normal one after an hour", () => {
    const trace = new Trace();
    trace.run(10, { down: { megabits: 30, rttMs: 60 } });
    trace.run(3600, { down: { megabits: 5, rttMs: 300 } });
    expect(trace.run(60, { down: { megabits: 5, rttMs: 300 } })).not.to.include("degraded");
  });
});
