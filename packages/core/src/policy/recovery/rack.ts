/**
 * RACK: what was sent before something that has arrived, by more than the reordering window, is lost. RFC 8985 section
 * 6; section numbers are of that RFC. Needs selective acknowledgements.
 */
import type { DetectionInput, LossDetector, SentRange } from "./recovery.ts";

/** Section 6.2: recoveries without a reported duplicate until the reordering window is small again. */
const PERSISTENCE = 16;
/** RFC 6675: selectively acknowledged ranges after which reordering is not waited for, where none was seen. */
const DUPLICATE_THRESHOLD = 3;
export class Rack implements LossDetector {
  /** RACK.xmit_ts, RACK.end_seq, RACK.rtt: the last sent of what has arrived. */
  #sentMs = Number.NEGATIVE_INFINITY;
  #end = 0;
  #rttMs = 0;
  /** RACK.fack: the highest position that has arrived. */
  #highest = 0;
  #reorderingSeen = false;
  #windowFactor = 1;
  #persistence = 0;
  /** RACK.dsack_round: a duplicate counts once for each round trip. */
  #roundEndMs = Number.NEGATIVE_INFINITY;

  detect(input: DetectionInput): number | undefined {
    for (const range of input.delivered) this.#onDelivered(range, input);
    if (input.duplicateReported) this.#onDuplicate(input);
    return this.#markLost(input);
  }

  onRecovered(): void {
    if (this.#persistence > 0 && --this.#persistence === 0) this.#windowFactor = 1;
  }

  /** Begins anew with the next thing that arrives, lest all that was sent before the repetitions is taken for lost. */
  onSpurious(): void {
    this.#sentMs = Number.NEGATIVE_INFINITY;
    this.#end = 0;
  }

  /** Sections 6.2 steps 2 and 3. */
  #onDelivered(range: SentRange, { nowMs, minimumRttMs }: DetectionInput): void {
    const repeated = range.transmissions > 1;
    if (range.end > this.#highest) this.#highest = range.end;
    else if (range.end < this.#highest && !repeated) this.#reorderingSeen = true;
    const rttMs = nowMs - range.sentMs;
    // What arrived so early was an earlier transmission. (That the echoed timestamp is older says nothing: RFC 7323
    // section 4.3 lets what is out of order echo one of before.)
    if (repeated && rttMs < (minimumRttMs ?? 0)) return;
    if (!isAfter(range.sentMs, range.end, this.#sentMs, this.#end)) return;
    this.#sentMs = range.sentMs;
    this.#end = range.end;
    this.#rttMs = rttMs;
  }

  /** Section 6.2 step 4: what was taken for lost and was not, asks for a wider window. */
  #onDuplicate({ nowMs, smoothedRttMs = 0 }: DetectionInput): void {
    if (nowMs < this.#roundEndMs) return;
    this.#roundEndMs = nowMs + smoothedRttMs;
    this.#windowFactor += 1;
    this.#persistence = PERSISTENCE;
  }

  #reorderingWindowMs({ inRecovery, minimumRttMs = 0, smoothedRttMs = 0 }: DetectionInput, delivered: number): number {
    if (!this.#reorderingSeen && (inRecovery || delivered >= DUPLICATE_THRESHOLD)) return 0;
    return Math.min((this.#windowFactor * minimumRttMs) / 4, smoothedRttMs);
  }

  /** Section 6.2 step 5. */
  #markLost(input: DetectionInput): number | undefined {
    const waitMs = this.#rttMs + this.#reorderingWindowMs(input, countDelivered(input));
    let timeoutMs: number | undefined;
    for (const range of input.ranges) {
      if (range.delivered || range.lost) continue;
      if (!isAfter(this.#sentMs, this.#end, range.sentMs, range.end)) {
        // What follows was sent later still, and repetitions of it later than that.
        if (range.transmissions === 1) break;
        continue;
      }
      const remainingMs = range.sentMs + waitMs - input.nowMs;
      if (remainingMs <= 0) input.markLost(range);
      else timeoutMs = Math.max(timeoutMs ?? 0, remainingMs);
    }
    return timeoutMs;
  }
}

/** RACK_sent_after(): by time, and by position where the time is the same. */
function isAfter(leftMs: number, leftEnd: number, rightMs: number, rightEnd: number): boolean {
  return leftMs > rightMs || (leftMs === rightMs && leftEnd > rightEnd);
}

/** How many ranges are selectively acknowledged, up to the threshold. */
function countDelivered({ ranges }: DetectionInput): number {
  let count = 0;
  let untouched = 0;
  for (const range of ranges) {
    if (range.delivered && ++count === DUPLICATE_THRESHOLD) break;
    // Where nothing has arrived out of order there is nothing to look for in a long queue.
    if (!range.delivered && ++untouched > 64 && count === 0) break;
  }
  return count;
}
