/**
 * How large segments may be on the path: what both sides have announced, what routers say (ICMP "packet too big", RFC
 * 8201, RFC 1191), and what is found out where they say nothing: a path that swallows large packets (RFC 4821 section
 * 7.7, black-hole detection).
 */

/** Timeouts in a row of a large segment after which the path is taken for a black hole. */
const BLACK_HOLE_TIMEOUTS = 2;
/** RFC 4821 section 7.2: fits through everything in use, IPv6's least MTU of 1280 less its headers. */
export const SAFE_SEGMENT_BYTES = 1220;
/** A second black hole below that: IPv4's 576 less its headers. */
export const LEAST_SEGMENT_BYTES = 536;
/** RFC 8201 section 4: after this time the path may carry more again. */
export const RETRY_MS = 600_000;

export class PathSegmentSize {
  readonly #agreedBytes: number;
  #limitBytes: number;
  #limitedAtMs = 0;

  /** `agreedBytes`: the smaller of what both sides take, options included (RFC 6691). */
  constructor(agreedBytes: number) {
    this.#agreedBytes = agreedBytes;
    this.#limitBytes = agreedBytes;
  }

  /** Payload and options of a segment together. */
  get bytes(): number {
    return this.#limitBytes;
  }

  /**
   * A router says that larger segments do not pass. What is implausible is ignored: anybody may have sent it. Returns
   * whether the size changed.
   */
  onTooBig(segmentBytes: number, nowMs: number): boolean {
    if (segmentBytes >= this.#limitBytes) return false;
    return this.#limit(Math.max(segmentBytes, Math.min(LEAST_SEGMENT_BYTES, this.#agreedBytes)), nowMs);
  }

  /**
   * The retransmission timer has expired `backOffs` times in a row, the first segment having `segmentBytes`. Returns
   * whether the size changed.
   */
  onTimeout(backOffs: number, segmentBytes: number, nowMs: number): boolean {
    if (backOffs < BLACK_HOLE_TIMEOUTS) return false;
    const smaller = [SAFE_SEGMENT_BYTES, LEAST_SEGMENT_BYTES].find((bytes) => bytes < segmentBytes);
    return smaller !== undefined && smaller < this.#limitBytes && this.#limit(smaller, nowMs);
  }

  /** Something was acknowledged. Tries the full size again after a while. Returns whether the size changed. */
  onProgress(nowMs: number): boolean {
    if (this.#limitBytes === this.#agreedBytes || nowMs - this.#limitedAtMs < RETRY_MS) return false;
    this.#limitBytes = this.#agreedBytes;
    return true;
  }

  #limit(bytes: number, nowMs: number): boolean {
    this.#limitedAtMs = nowMs;
    const changed = bytes !== this.#limitBytes;
    this.#limitBytes = bytes;
    return changed;
  }
}
