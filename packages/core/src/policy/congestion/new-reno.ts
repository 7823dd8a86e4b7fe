/** NewReno: RFC 5681 with byte counting (RFC 3465), the initial window of RFC 6928 and HyStart++ (RFC 9406). */
import {
  type Acknowledgement,
  type CongestionAlgorithm,
  type CongestionControl,
  initialWindowBytes,
  leastThresholdBytes,
  penalizedBytes,
} from "./congestion.ts";
import { HyStart } from "./hystart.ts";

class NewReno implements CongestionControl {
  windowBytes: number;
  slowStartThresholdBytes = Number.POSITIVE_INFINITY;
  #segmentBytes: number;
  /** Bytes acknowledged in congestion avoidance since the window last grew. */
  #acknowledgedBytes = 0;
  /** Of the first slow start, once that has begun and until it is over. */
  #hyStart: HyStart | undefined;
  /** Window and threshold before the last loss, of which the larger counts. */
  #beforeLoss: { readonly windowBytes: number; readonly thresholdBytes: number } | undefined;

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
    this.windowBytes = initialWindowBytes(segmentBytes);
  }

  onAcknowledged(ack: Acknowledgement): void {
    if (!ack.windowLimited) return;
    if (this.slowStartThresholdBytes === Number.POSITIVE_INFINITY) return this.#startFirst(ack);
    let { bytes } = ack;
    if (this.windowBytes < this.slowStartThresholdBytes) {
      const growth = Math.min(bytes, this.slowStartThresholdBytes - this.windowBytes);
      this.windowBytes += growth;
      bytes -= growth;
    }
    // RFC 3465 section 2.1: one segment for each window of acknowledged bytes.
    this.#acknowledgedBytes += bytes;
    if (this.#acknowledgedBytes < this.windowBytes) return;
    this.#acknowledgedBytes -= this.windowBytes;
    this.windowBytes += this.#segmentBytes;
  }

  #startFirst(ack: Acknowledgement): void {
    this.#hyStart ??= new HyStart();
    this.windowBytes += this.#hyStart.growthBytes(ack);
    if (!this.#hyStart.isOver) return;
    this.#hyStart = undefined;
    this.slowStartThresholdBytes = this.windowBytes;
  }

  onLoss(_nowMs: number, inFlightBytes: number): void {
    this.#hyStart = undefined;
    this.#beforeLoss = { windowBytes: this.windowBytes, thresholdBytes: this.slowStartThresholdBytes };
    this.slowStartThresholdBytes = Math.max(inFlightBytes / 2, leastThresholdBytes(this.#segmentBytes));
    this.#acknowledgedBytes = 0;
  }

  onRecovered(): void {
    this.windowBytes = this.slowStartThresholdBytes;
  }

  onTimeout(nowMs: number, inFlightBytes: number): void {
    this.onLoss(nowMs, inFlightBytes);
    this.windowBytes = this.#segmentBytes;
  }

  onSpurious(inFlightBytes: number): void {
    if (this.#beforeLoss === undefined) return;
    const { windowBytes, thresholdBytes } = this.#beforeLoss;
    this.#beforeLoss = undefined;
    this.slowStartThresholdBytes = Math.max(this.slowStartThresholdBytes, thresholdBytes, windowBytes);
    const careful = Math.min(windowBytes, inFlightBytes + initialWindowBytes(this.#segmentBytes));
    this.windowBytes = Math.max(this.windowBytes, careful);
  }

  onPenalized(): void {
    this.#hyStart = undefined;
    const windowBytes = penalizedBytes(this.windowBytes, this.#segmentBytes);
    this.windowBytes = windowBytes;
    this.#acknowledgedBytes = 0;
    this.slowStartThresholdBytes = Math.max(windowBytes, leastThresholdBytes(this.#segmentBytes));
  }

  onIdle(): void {
    this.windowBytes = Math.min(this.windowBytes, initialWindowBytes(this.#segmentBytes));
  }

  setSegmentBytes(segmentBytes: number): void {
    this.#segmentBytes = segmentBytes;
    this.windowBytes = Math.max(this.windowBytes, segmentBytes);
  }
}

export const NEW_RENO: CongestionAlgorithm = {
  name: "reno",
  create: (segmentBytes) => new NewReno(segmentBytes),
};
