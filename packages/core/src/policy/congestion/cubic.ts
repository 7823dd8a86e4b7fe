/**
 * CUBIC: RFC 9438, with HyStart++ (RFC 9406). The window grows with the time since the last loss, not with the
 * round-trip time. Section numbers are of RFC 9438.
 */
import {
  type Acknowledgement,
  type CongestionAlgorithm,
  type CongestionControl,
  initialWindowBytes,
  leastThresholdBytes,
  penalizedBytes,
} from "./congestion.ts";
import { HyStart } from "./hystart.ts";

/** Section 5.1: how fast the window grows, segments for each cubed second. */
const C = 0.4;
/** Section 4.6: what is left of the window after a loss. */
const BETA = 0.7;
/** Section 4.3: what makes the estimate as aggressive as Reno with this beta. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

/** Windows in segments, as in the RFC; times in seconds. */
interface Epoch {
  readonly startedMs: number;
  /** W_est: what Reno would have by now. */
  estimate: number;
  /** K: when the window is what it was before the loss. */
  readonly plateauSeconds: number;
}

/** What a loss changes, before it (section 4.9.2). Windows in segments. */
interface BeforeLoss {
  readonly window: number;
  readonly windowBeforeLoss: number;
  readonly priorWindow: number;
  readonly thresholdBytes: number;
}

class Cubic implements CongestionControl {
  slowStartThresholdBytes = Number.POSITIVE_INFINITY;
  #segmentBytes: number;
  #window: number;
  /** W_max: the window before the last loss. */
  #windowBeforeLoss = 0;
  /** cwnd_prior: the same, before fast convergence. */
  #priorWindow = 0;
  #epoch: Epoch | undefined;
  /** Of the first slow start, once that has begun and until it is over. */
  #hyStart: HyStart | undefined;
  #beforeLoss: BeforeLoss | undefined;

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
    this.#window = initialWindowBytes(segmentBytes) / segmentBytes;
  }

  get windowBytes(): number {
    return this.#window * this.#segmentBytes;
  }

  onAcknowledged(ack: Acknowledgement): void {
    if (!ack.windowLimited) return;
    if (this.slowStartThresholdBytes === Number.POSITIVE_INFINITY) return this.#startFirst(ack);
    if (this.windowBytes < this.slowStartThresholdBytes) {
      const growth = Math.min(ack.bytes, this.slowStartThresholdBytes - this.windowBytes);
      this.#window += growth / this.#segmentBytes;
      return;
    }
    this.#grow(ack);
  }

  #startFirst(ack: Acknowledgement): void {
    this.#hyStart ??= new HyStart();
    this.#window += this.#hyStart.growthBytes(ack) / this.#segmentBytes;
    if (!this.#hyStart.isOver) return;
    this.#hyStart = undefined;
    this.slowStartThresholdBytes = this.windowBytes;
  }

  /** Section 4.2 to 4.5. */
  #grow({ nowMs, bytes, smoothedRttMs = 0 }: Acknowledgement): void {
    const epoch = this.#epoch ?? this.#begin(nowMs);
    const acknowledged = bytes / this.#segmentBytes;
    const alpha = epoch.estimate >= this.#priorWindow ? 1 : ALPHA;
    epoch.estimate += (alpha * acknowledged) / this.#window;
    const seconds = (nowMs - epoch.startedMs) / 1000;
    const curve = (at: number) => C * (at - epoch.plateauSeconds) ** 3 + this.#windowBeforeLoss;
    // Section 4.3: where Reno would be faster, be as fast.
    if (curve(seconds) < epoch.estimate) {
      this.#window = Math.max(this.#window, epoch.estimate);
      return;
    }
    const target = Math.min(Math.max(curve(seconds + smoothedRttMs / 1000), this.#window), 1.5 * this.#window);
    this.#window += ((target - this.#window) / this.#window) * acknowledged;
  }

  /** The first acknowledgement in congestion avoidance after a loss, or after an idle time. */
  #begin(nowMs: number): Epoch {
    this.#windowBeforeLoss = Math.max(this.#windowBeforeLoss, this.#window);
    const plateauSeconds = Math.cbrt((this.#windowBeforeLoss - this.#window) / C);
    this.#epoch = { startedMs: nowMs, estimate: this.#window, plateauSeconds };
    return this.#epoch;
  }

  onLoss(_nowMs: number, inFlightBytes: number): void {
    this.#hyStart = undefined;
    this.#beforeLoss = {
      window: this.#window,
      windowBeforeLoss: this.#windowBeforeLoss,
      priorWindow: this.#priorWindow,
      thresholdBytes: this.slowStartThresholdBytes,
    };
    // Section 4.6: from what is in flight, so that a window that was not used does not count.
    const window = Math.min(this.#window, Math.max(inFlightBytes / this.#segmentBytes, 1));
    this.#priorWindow = window;
    // Section 4.7, fast convergence: who has lost earlier than the last time leaves room for others.
    this.#windowBeforeLoss = window < this.#windowBeforeLoss ? (window * (1 + BETA)) / 2 : window;
    this.slowStartThresholdBytes = Math.max(
      window * BETA * this.#segmentBytes,
      leastThresholdBytes(this.#segmentBytes),
    );
    this.#epoch = undefined;
  }

  onRecovered(): void {
    this.#window = this.slowStartThresholdBytes / this.#segmentBytes;
  }

  onTimeout(nowMs: number, inFlightBytes: number): void {
    this.onLoss(nowMs, inFlightBytes);
    this.#window = 1;
  }

  onSpurious(inFlightBytes: number): void {
    if (this.#beforeLoss === undefined) return;
    const { window, windowBeforeLoss, priorWindow, thresholdBytes } = this.#beforeLoss;
    this.#beforeLoss = undefined;
    this.#windowBeforeLoss = windowBeforeLoss;
    this.#priorWindow = priorWindow;
    this.#epoch = undefined;
    const windowBytes = window * this.#segmentBytes;
    this.slowStartThresholdBytes = Math.max(this.slowStartThresholdBytes, thresholdBytes, windowBytes);
    const careful = Math.min(windowBytes, inFlightBytes + initialWindowBytes(this.#segmentBytes));
    this.#window = Math.max(this.windowBytes, careful) / this.#segmentBytes;
  }

  onPenalized(): void {
    this.#hyStart = undefined;
    const windowBytes = penalizedBytes(this.windowBytes, this.#segmentBytes);
    this.#window = windowBytes / this.#segmentBytes;
    this.#epoch = undefined;
    this.slowStartThresholdBytes = Math.max(windowBytes, leastThresholdBytes(this.#segmentBytes));
  }

  onIdle(): void {
    this.#window = Math.min(this.#window, initialWindowBytes(this.#segmentBytes) / this.#segmentBytes);
    // Section 5.8: time without data is no time in which the window may grow.
    this.#epoch = undefined;
  }

  setSegmentBytes(segmentBytes: number): void {
    this.#window = Math.max(1, this.windowBytes / segmentBytes);
    this.#segmentBytes = segmentBytes;
  }
}

export const CUBIC: CongestionAlgorithm = { name: "cubic", create: (segmentBytes) => new Cubic(segmentBytes) };
