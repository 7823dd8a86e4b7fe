/**
 * Loss detection toward a peer without selective acknowledgements: RFC 5681 section 3.2 and RFC 6582. The third
 * duplicate acknowledgement, and in recovery each partial one, say that the first byte that is missing is lost.
 */
import type { DetectionInput, LossDetector } from "./recovery.ts";

const DUPLICATE_THRESHOLD = 3;

export class DuplicateAcknowledgements implements LossDetector {
  detect(input: DetectionInput): undefined {
    const partial = input.inRecovery && input.delivered.length > 0;
    if (!partial && input.duplicateAcknowledgements !== DUPLICATE_THRESHOLD) return undefined;
    for (const range of input.ranges) {
      if (!range.lost && (range.transmissions === 1 || partial)) input.markLost(range);
      break;
    }
    return undefined;
  }

  onRecovered(): void {}

  onSpurious(): void {}
}
