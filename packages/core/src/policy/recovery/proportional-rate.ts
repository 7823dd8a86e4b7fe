/**
 * Proportional rate reduction (RFC 9937, before it RFC 6937): during recovery, how many bytes each acknowledgement lets
 * go, so that the window shrinks smoothly to the threshold instead of stopping for half a round trip.
 */

export interface DeliveredBytes {
  /** What this acknowledgement has delivered, selectively or not. */
  readonly deliveredBytes: number;
  /** What is in flight after it. */
  readonly inFlightBytes: number;
  readonly thresholdBytes: number;
  readonly segmentBytes: number;
  /**
   * The acknowledgement moved the start of the window and revealed no further loss: the path can take a little more.
   */
  readonly safe: boolean;
  /**
   * Something is to be sent again at once, whatever the rate: without SACK each partial acknowledgement says so (RFC
   * 6582).
   */
  readonly repeatsNow: boolean;
}

export class ProportionalRate {
  readonly #inFlightAtStart: number;
  #deliveredBytes = 0;
  #sentBytes = 0;
  #allowedBytes = 0;

  /** `inFlightBytes` when the loss was noticed (RecoverFS). */
  constructor(inFlightBytes: number) {
    this.#inFlightAtStart = Math.max(1, inFlightBytes);
  }

  /** Bytes that may be sent now. */
  get allowedBytes(): number {
    return this.#allowedBytes;
  }

  onDelivered({ deliveredBytes, inFlightBytes, thresholdBytes, segmentBytes, safe, repeatsNow }: DeliveredBytes): void {
    this.#deliveredBytes += deliveredBytes;
    let allowed: number;
    if (inFlightBytes > thresholdBytes) {
      allowed = Math.ceil((this.#deliveredBytes * thresholdBytes) / this.#inFlightAtStart) - this.#sentBytes;
    } else {
      const conservative = Math.max(this.#deliveredBytes - this.#sentBytes, deliveredBytes);
      allowed = Math.min(thresholdBytes - inFlightBytes, conservative + (safe ? segmentBytes : 0));
    }
    // The first repetition goes at once, whatever the window says.
    if (this.#sentBytes === 0 || repeatsNow) allowed = Math.max(allowed, segmentBytes);
    this.#allowedBytes = Math.max(0, allowed);
  }

  onSent(bytes: number): void {
    this.#sentBytes += bytes;
    this.#allowedBytes = Math.max(0, this.#allowedBytes - bytes);
  }
}
