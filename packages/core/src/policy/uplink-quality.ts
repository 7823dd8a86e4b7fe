/**
 * How good an uplink is, judged by what the connections over it see: an uplink that is up but bad is found before it is
 * dead (RFC 8041 section 2.2: a handover is seldom abrupt). Pure: samples and time in, a verdict out.
 *
 * Loss and a long round-trip time alone prove nothing: a connection that fills a link causes both. They count only while
 * the uplink carries less than half of what it has carried lately, or when nothing comes back at all. An uplink found
 * degraded stays so for a while, longer each time it fails again: unused, it gives no evidence.
 */

/** What one direction of an uplink carried since the sample before. */
export interface DirectionSample {
  /** Payload that got through. */
  readonly bytes: number;
  /** Segments with payload. */
  readonly segments: number;
  /** Of these: sent again (up); arrived before an earlier one, as all do that follow a lost one (down). */
  readonly troubledSegments: number;
  /** Round-trip time of the subflows that carried it; undefined when none did. */
  readonly rttMs: number | undefined;
}

/** What an uplink did since the sample before. */
export interface QualitySample {
  readonly durationMs: number;
  readonly down: DirectionSample;
  readonly up: DirectionSample;
  /** The most retransmission timeouts in a row that one of its subflows has without an answer. */
  readonly timeouts: number;
}

export interface QualityVerdict {
  readonly quality: "good" | "degraded";
  /** For people; only of a degraded one. */
  readonly reason: string | undefined;
}

/** How long an uplink must look bad without interruption. */
const PROOF_MS = 2000;
/** For how long it is degraded at least; doubled each time it fails again within {@link RELAPSE_MS}. */
const FIRST_HOLD_MS = 10_000;
const LONGEST_HOLD_MS = 300_000;
const RELAPSE_MS = 60_000;
/** And nothing bad for this long. */
const CLEAR_MS = 3000;

/** Of the uplink's own recent rate: above it, the uplink's load explains everything. */
const LOADED_SHARE = 0.5;
const RATE_MEMORY_MS = 1000;
const PEAK_HALF_LIFE_MS = 600_000;
const TROUBLE_MEMORY_MS = 3000;
/** Fewer segments say nothing about loss. */
const TROUBLE_SEGMENTS = 30;
const RTT_FACTOR = 3;
const RTT_MARGIN_MS = 100;
/** A receiver that gets fewer in a sample measures its sender's pauses, not the path. */
const RTT_SEGMENTS = 20;
const RTT_HALF_LIFE_MS = 600_000;
const TIMEOUTS_LIMIT = 2;

export class UplinkQuality {
  readonly #down = new Direction(0.1, "arrive out of order");
  readonly #up = new Direction(0.05, "are lost");
  #badSinceMs: number | undefined;
  #lastBadMs = Number.NEGATIVE_INFINITY;
  #degradedSinceMs: number | undefined;
  #returnedMs = Number.NEGATIVE_INFINITY;
  #holdMs = FIRST_HOLD_MS;
  #reason: string | undefined;

  get verdict(): QualityVerdict {
    return this.#degradedSinceMs === undefined
      ? { quality: "good", reason: undefined }
      : { quality: "degraded", reason: this.#reason };
  }

  /** Takes a sample; `nowMs` never goes back. */
  add(sample: QualitySample, nowMs: number): QualityVerdict {
    this.#down.add(sample.down, sample.durationMs);
    this.#up.add(sample.up, sample.durationMs);
    const problem = this.#problem(sample);
    if (problem === undefined) this.#badSinceMs = undefined;
    else this.#noteProblem(problem, nowMs);
    if (this.#degradedSinceMs !== undefined) this.#perhapsReturn(nowMs);
    return this.verdict;
  }

  #problem(sample: QualitySample): string | undefined {
    if (sample.timeouts >= TIMEOUTS_LIMIT) return "nothing comes back";
    if (this.#down.isLoaded || this.#up.isLoaded) return undefined;
    return this.#down.problem(sample.down) ?? this.#up.problem(sample.up);
  }

  #noteProblem(problem: string, nowMs: number): void {
    this.#badSinceMs ??= nowMs;
    this.#lastBadMs = nowMs;
    if (this.#degradedSinceMs !== undefined) {
      this.#reason = problem;
    } else if (nowMs - this.#badSinceMs >= PROOF_MS) {
      const relapse = nowMs - this.#returnedMs < RELAPSE_MS;
      this.#holdMs = relapse ? Math.min(2 * this.#holdMs, LONGEST_HOLD_MS) : FIRST_HOLD_MS;
      this.#degradedSinceMs = nowMs;
      this.#reason = problem;
    }
  }

  #perhapsReturn(nowMs: number): void {
    const held = nowMs - (this.#degradedSinceMs ?? nowMs) >= this.#holdMs;
    if (!held || nowMs - this.#lastBadMs < CLEAR_MS) return;
    this.#degradedSinceMs = undefined;
    this.#returnedMs = nowMs;
  }
}

/** One direction's recent past. */
class Direction {
  readonly #troubleLimit: number;
  readonly #trouble: string;
  #rate = 0;
  #peak = 0;
  #segments = 0;
  #troubled = 0;
  #leastRttMs = Number.POSITIVE_INFINITY;

  /** `troubleLimit` is the share of segments that may be in trouble, which `trouble` names. */
  constructor(troubleLimit: number, trouble: string) {
    this.#troubleLimit = troubleLimit;
    this.#trouble = trouble;
  }

  add({ bytes, segments, troubledSegments, rttMs }: DirectionSample, durationMs: number): void {
    const weight = 1 - Math.exp(-durationMs / RATE_MEMORY_MS);
    this.#rate += weight * ((8000 * bytes) / durationMs - this.#rate);
    this.#peak = Math.max(this.#rate, this.#peak * 0.5 ** (durationMs / PEAK_HALF_LIFE_MS));
    // What a full link lost is forgotten: it would hide, for long, how the few segments after it fare.
    const kept = this.isLoaded ? 0 : Math.exp(-durationMs / TROUBLE_MEMORY_MS);
    this.#segments = kept * this.#segments + segments;
    this.#troubled = kept * this.#troubled + troubledSegments;
    this.#leastRttMs *= 2 ** (durationMs / RTT_HALF_LIFE_MS);
    if (rttMs !== undefined && rttMs > 0) this.#leastRttMs = Math.min(this.#leastRttMs, rttMs);
  }

  get isLoaded(): boolean {
    return this.#peak > 0 && this.#rate >= LOADED_SHARE * this.#peak;
  }

  problem({ segments, rttMs }: DirectionSample): string | undefined {
    if (segments === 0) return undefined;
    const share = this.#troubled / this.#segments;
    if (this.#segments >= TROUBLE_SEGMENTS && share > this.#troubleLimit) {
      return `${Math.round(100 * share)} % of the segments ${this.#trouble}`;
    }
    const limitMs = Math.max(RTT_FACTOR * this.#leastRttMs, this.#leastRttMs + RTT_MARGIN_MS);
    if (rttMs === undefined || segments < RTT_SEGMENTS || rttMs <= limitMs) return undefined;
    return `a round trip takes ${Math.round(rttMs)} ms instead of ${Math.round(this.#leastRttMs)} ms`;
  }
}
