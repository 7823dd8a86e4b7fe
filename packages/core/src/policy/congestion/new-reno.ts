/** NewReno: RFC 5681 with byte counting (RFC 3465) and the initial window of RFC 6928. */
import {
  type Acknowledgement,
  type CongestionAlgorithm,
  type CongestionControl,
  initialWindowBytes,
  leastThresholdBytes,
} from "./congestion.ts";

class NewReno implements CongestionControl {
  windowBytes: number;
  slowStartThresholdBytes = Number.POSITIVE_INFINITY;
  #segmentBytes: number;
  /** Bytes acknowledged in congestion avoidance since the window last grew. */
  #acknowledgedBytes = 0;

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
    this.windowBytes = initialWindowBytes(segmentBytes);
  }

  onAcknowledged(ack: Acknowledgement): void {
    if (!ack.windowLimited) return;
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

  onLoss(_nowMs: number, inFlightBytes: number): void {
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
