/**
 * wVegas, weighted Vegas: draft-xu-mptcp-congestion-control-05, and "Delay-based congestion control for multipath TCP"
 * (ICNP 2012). A subflow keeps about alpha segments waiting in the queues of its path, and takes fewer when there are
 * more; all subflows together keep ten, shared by their rates. What a loss does is NewReno's.
 */
import type { Acknowledgement, CongestionAlgorithm, CouplingGroup } from "./congestion.ts";
import { RENO_RULE, RenoControl } from "./reno-control.ts";

/** total_alpha: what all subflows together keep in queues, segments. */
export const TOTAL_ALPHA_SEGMENTS = 10;
/** The least of it for one subflow, and what it has until its rate was measured. */
export const LEAST_ALPHA_SEGMENTS = 2;
/** gamma: so many segments in queues end slow start. */
const GAMMA_SEGMENTS = 1;
const LEAST_WINDOW_SEGMENTS = 2;
/** With fewer measurements a round trip tells nothing of queues: the window grows as NewReno's. */
const ENOUGH_SAMPLES = 3;
/** How many times as long as the shortest one a queue may be until it is drained. */
const LONG_QUEUE = 2;

/** diff_r: how many segments of the window wait in queues. */
export function backlogSegments(windowSegments: number, rttMs: number, baseRttMs: number): number {
  return (windowSegments * (rttMs - baseRttMs)) / rttMs;
}

/** alpha_r: the subflow's share of {@link TOTAL_ALPHA_SEGMENTS} by its rate; `rates` has its own. */
export function vegasAlpha(rate: number, rates: readonly number[]): number {
  const weight = rate / rates.reduce((sum, each) => sum + each, 0);
  return Math.max(LEAST_ALPHA_SEGMENTS, weight * TOTAL_ALPHA_SEGMENTS);
}

class WeightedVegas extends RenoControl {
  readonly #coupling: CouplingGroup | undefined;
  /** Segments that are to wait in queues. */
  #alphaSegments = LEAST_ALPHA_SEGMENTS;
  /** Segments in a millisecond, as of when the queues were last full enough; undefined before. */
  rate: number | undefined;
  /** base_rtt: of an empty path. */
  #baseRttMs = Number.POSITIVE_INFINITY;
  /** queue_delay: the shortest that the path's queues were, with alpha segments or more, since they were last drained. */
  #shortestQueueMs = Number.POSITIVE_INFINITY;
  /** The round trip ends when this is acknowledged; 0 before the first one. */
  #roundEnd = 0;
  #sampledMs = 0;
  #samples = 0;
  #roundBytes = 0;

  constructor(segmentBytes: number, group?: CouplingGroup) {
    super(segmentBytes, RENO_RULE, group);
    this.#coupling = group;
  }

  override onAcknowledged(ack: Acknowledgement): void {
    if (ack.rttMs !== undefined && ack.rttMs > 0) {
      this.#baseRttMs = Math.min(this.#baseRttMs, ack.rttMs);
      this.#sampledMs += ack.rttMs;
      this.#samples += 1;
    }
    this.#roundBytes += ack.bytes;
    const isRoundOver = ack.acknowledgedTo >= this.#roundEnd;
    if (ack.windowLimited) {
      if (this.windowBytes < this.slowStartThresholdBytes) this.#start(ack.bytes);
      if (isRoundOver && this.#roundEnd > 0) this.#adjust();
    }
    if (isRoundOver) this.#beginRound(ack.sentTo);
  }

  /** Slow start ends at the threshold. */
  #start(bytes: number): void {
    this.windowBytes += Math.min(bytes, this.slowStartThresholdBytes - this.windowBytes);
  }

  #beginRound(sentTo: number): void {
    this.#roundEnd = sentTo;
    this.#sampledMs = 0;
    this.#samples = 0;
    this.#roundBytes = 0;
  }

  /** Once in a round trip. */
  #adjust(): void {
    const inSlowStart = this.windowBytes < this.slowStartThresholdBytes;
    if (this.#samples < ENOUGH_SAMPLES) {
      if (!inSlowStart) this.windowBytes += (this.segmentBytes * this.#roundBytes) / this.windowBytes;
      return;
    }
    const rttMs = this.#sampledMs / this.#samples;
    const segments = this.windowBytes / this.segmentBytes;
    const backlog = backlogSegments(segments, rttMs, this.#baseRttMs);
    if (!inSlowStart) this.#avoid(segments, backlog, rttMs);
    else if (backlog > GAMMA_SEGMENTS) this.#settle(Math.min(segments, segments - backlog + 1));
  }

  #avoid(segments: number, backlog: number, rttMs: number): void {
    const isFull = backlog >= this.#alphaSegments;
    if (isFull) {
      this.rate = segments / rttMs;
      this.#alphaSegments = vegasAlpha(this.rate, [this.rate, ...this.#otherRates()]);
    }
    let next = segments;
    if (backlog > this.#alphaSegments) next -= 1;
    else if (backlog < this.#alphaSegments) next += 1;
    this.#settle(isFull ? this.#drain(next, rttMs) : next);
  }

  /**
   * What others, or this one, have left in the queue is drained, so that the path is seen empty again. Deviation: Linux
   * does so in every round trip. Of a path that is hardly used the queue doubles from nothing to little, and the window
   * would be halved for ever; here a queue counts from alpha segments on.
   */
  #drain(segments: number, rttMs: number): number {
    const queueMs = rttMs - this.#baseRttMs;
    this.#shortestQueueMs = Math.min(this.#shortestQueueMs, queueMs);
    if (queueMs < LONG_QUEUE * this.#shortestQueueMs) return segments;
    this.#shortestQueueMs = Number.POSITIVE_INFINITY;
    return (segments * this.#baseRttMs) / (2 * rttMs);
  }

  /** In congestion avoidance from here on. */
  #settle(segments: number): void {
    this.windowBytes = Math.max(segments, LEAST_WINDOW_SEGMENTS) * this.segmentBytes;
    this.slowStartThresholdBytes = Math.min(this.slowStartThresholdBytes, this.windowBytes);
  }

  #otherRates(): number[] {
    const controls = this.#coupling?.controls ?? [];
    return controls.flatMap((control) =>
      control !== this && control instanceof WeightedVegas && control.rate !== undefined ? [control.rate] : [],
    );
  }

  /** What was measured before the loss says nothing of what comes after it. */
  override onLoss(nowMs: number, inFlightBytes: number): void {
    super.onLoss(nowMs, inFlightBytes);
    this.#sampledMs = 0;
    this.#samples = 0;
  }

  override onTimeout(nowMs: number, inFlightBytes: number): void {
    super.onTimeout(nowMs, inFlightBytes);
    this.rate = undefined;
  }

  /** The path may be another one by now. */
  override onIdle(): void {
    super.onIdle();
    this.#baseRttMs = Number.POSITIVE_INFINITY;
    this.#shortestQueueMs = Number.POSITIVE_INFINITY;
  }
}

export const WEIGHTED_VEGAS: CongestionAlgorithm = {
  name: "wvegas",
  create: (segmentBytes, group) => new WeightedVegas(segmentBytes, group),
};
