/**
 * What NewReno and the algorithms that couple it have in common: RFC 5681 with bytes counted (RFC 3465), the initial
 * window of RFC 6928 and HyStart++ (RFC 9406). Coupled ones differ in congestion avoidance only, which is their rule.
 */
import {
  type Acknowledgement,
  type CongestionControl,
  type CouplingGroup,
  initialWindowBytes,
  leastThresholdBytes,
  penalizedBytes,
} from "./congestion.ts";
import { HyStart } from "./hystart.ts";

/** One subflow, as the rule of another one of its connection sees it. */
export interface CoupledSubflow {
  /** cwnd_i: the window, or during recovery the one that it leaves (RFC 6356 section 3). */
  readonly settledWindowBytes: number;
  /** MSS_i. */
  readonly segmentBytes: number;
  /** rtt_i: smoothed, above zero. */
  readonly rttMs: number;
  /** l_i of OLIA: the larger of what was acknowledged since the last loss, and between the two last ones. */
  readonly lossIntervalBytes: number;
}

/** What an algorithm decides. `all` has `own` in it, and nobody else where the subflow is alone. */
export interface AvoidanceRule {
  /** By how many bytes the window grows for each byte acknowledged; below zero it shrinks. */
  growth(own: CoupledSubflow, all: readonly CoupledSubflow[]): number;
  /** What share of the bytes in flight a loss takes away. */
  reduction(own: CoupledSubflow, all: readonly CoupledSubflow[]): number;
  /** The lowest threshold of a subflow that is not alone, in segments; alone it has that of RFC 5681. */
  readonly leastCoupledSegments: number;
}

/** RFC 5681 section 3.1: (3) and (4). */
export const RENO_RULE: AvoidanceRule = {
  growth: ({ segmentBytes, settledWindowBytes }) => segmentBytes / settledWindowBytes,
  reduction: () => 0.5,
  leastCoupledSegments: 2,
};

/** Below what a clock tells apart; no rule divides by zero. */
const LEAST_RTT_MS = 0.001;

/** What a loss changes, before it. */
interface BeforeLoss {
  readonly windowBytes: number;
  readonly thresholdBytes: number;
  readonly sinceLossBytes: number;
  readonly betweenLossesBytes: number;
}

export class RenoControl implements CongestionControl, CoupledSubflow {
  windowBytes: number;
  slowStartThresholdBytes = Number.POSITIVE_INFINITY;
  segmentBytes: number;
  rttMs = Number.NaN;
  readonly #rule: AvoidanceRule;
  readonly #group: CouplingGroup | undefined;
  /** Of the first slow start, once that has begun and until it is over. */
  #hyStart: HyStart | undefined;
  /** Before the last loss. */
  #beforeLoss: BeforeLoss | undefined;
  #isRecovering = false;
  /** What was acknowledged outside of recovery: since the last loss, and between the two last ones. */
  #sinceLossBytes = 0;
  #betweenLossesBytes = 0;

  constructor(segmentBytes: number, rule: AvoidanceRule, group?: CouplingGroup) {
    this.segmentBytes = segmentBytes;
    this.windowBytes = initialWindowBytes(segmentBytes);
    this.#rule = rule;
    this.#group = group;
  }

  get settledWindowBytes(): number {
    return this.#isRecovering ? this.slowStartThresholdBytes : this.windowBytes;
  }

  get lossIntervalBytes(): number {
    return Math.max(this.#sinceLossBytes, this.#betweenLossesBytes);
  }

  onAcknowledged(ack: Acknowledgement): void {
    this.#sinceLossBytes += ack.bytes;
    if (ack.smoothedRttMs !== undefined) this.rttMs = Math.max(ack.smoothedRttMs, LEAST_RTT_MS);
    if (!ack.windowLimited) return;
    if (this.slowStartThresholdBytes === Number.POSITIVE_INFINITY) return this.#startFirst(ack);
    let { bytes } = ack;
    if (this.windowBytes < this.slowStartThresholdBytes) {
      const growth = Math.min(bytes, this.slowStartThresholdBytes - this.windowBytes);
      this.windowBytes += growth;
      bytes -= growth;
    }
    const growth = bytes * this.#rule.growth(this, this.#all());
    this.windowBytes = Math.max(this.windowBytes + growth, this.segmentBytes);
  }

  #startFirst(ack: Acknowledgement): void {
    this.#hyStart ??= new HyStart();
    this.windowBytes += this.#hyStart.growthBytes(ack);
    if (!this.#hyStart.isOver) return;
    this.#hyStart = undefined;
    this.slowStartThresholdBytes = this.windowBytes;
  }

  /** Those whose round-trip time is known, and this one. */
  #all(): readonly CoupledSubflow[] {
    const controls = this.#group?.controls ?? [];
    // Before the first measurement nothing can be compared.
    if (controls.length < 2 || Number.isNaN(this.rttMs)) return [this];
    const others = controls.filter(
      (control): control is RenoControl =>
        control !== this && control instanceof RenoControl && !Number.isNaN(control.rttMs),
    );
    return [this, ...others];
  }

  onLoss(_nowMs: number, inFlightBytes: number): void {
    this.#hyStart = undefined;
    this.#beforeLoss = {
      windowBytes: this.windowBytes,
      thresholdBytes: this.slowStartThresholdBytes,
      sinceLossBytes: this.#sinceLossBytes,
      betweenLossesBytes: this.#betweenLossesBytes,
    };
    const all = this.#all();
    const leastBytes =
      all.length > 1 ? this.#rule.leastCoupledSegments * this.segmentBytes : leastThresholdBytes(this.segmentBytes);
    const keptBytes = inFlightBytes * (1 - this.#rule.reduction(this, all));
    this.slowStartThresholdBytes = Math.max(keptBytes, leastBytes);
    this.#isRecovering = true;
    // A loss before anything was acknowledged is the same one still.
    if (this.#sinceLossBytes === 0) return;
    this.#betweenLossesBytes = this.#sinceLossBytes;
    this.#sinceLossBytes = 0;
  }

  onRecovered(): void {
    this.#isRecovering = false;
    this.windowBytes = this.slowStartThresholdBytes;
  }

  onTimeout(nowMs: number, inFlightBytes: number): void {
    this.onLoss(nowMs, inFlightBytes);
    this.#isRecovering = false;
    this.windowBytes = this.segmentBytes;
  }

  onSpurious(inFlightBytes: number): void {
    if (this.#beforeLoss === undefined) return;
    const { windowBytes, thresholdBytes, sinceLossBytes, betweenLossesBytes } = this.#beforeLoss;
    this.#beforeLoss = undefined;
    this.#isRecovering = false;
    this.slowStartThresholdBytes = Math.max(this.slowStartThresholdBytes, thresholdBytes, windowBytes);
    const careful = Math.min(windowBytes, inFlightBytes + initialWindowBytes(this.segmentBytes));
    this.windowBytes = Math.max(this.windowBytes, careful);
    this.#sinceLossBytes += sinceLossBytes;
    this.#betweenLossesBytes = betweenLossesBytes;
  }

  onPenalized(): void {
    this.#hyStart = undefined;
    this.windowBytes = penalizedBytes(this.windowBytes, this.segmentBytes);
    this.slowStartThresholdBytes = Math.max(this.windowBytes, leastThresholdBytes(this.segmentBytes));
  }

  onIdle(): void {
    this.windowBytes = Math.min(this.windowBytes, initialWindowBytes(this.segmentBytes));
  }

  setSegmentBytes(segmentBytes: number): void {
    this.segmentBytes = segmentBytes;
    this.windowBytes = Math.max(this.windowBytes, segmentBytes);
  }
}
