/**
 * Loss detection: which of the bytes in flight are lost. How many bytes may be in flight is another question
 * (policy/congestion); what is done about a loss is the sender's. One rule for each file.
 */

/** What one transmission carried, or the part of it that is not acknowledged cumulatively. Positions in the stream. */
export interface SentRange {
  readonly start: number;
  readonly end: number;
  /** When it was sent last. */
  readonly sentMs: number;
  /** 1 for what was sent once. */
  readonly transmissions: number;
  /** The receiver has it, by a selective acknowledgement. */
  readonly delivered: boolean;
  /** Taken for lost, and not sent again since. */
  readonly lost: boolean;
}

/** An acknowledgement, after what it delivers was marked in the ranges. */
export interface DetectionInput {
  readonly nowMs: number;
  /** What is not acknowledged cumulatively, in the stream's order. */
  readonly ranges: Iterable<SentRange>;
  /** What this acknowledgement has delivered, in the stream's order; empty when a timer is due. */
  readonly delivered: readonly SentRange[];
  readonly smoothedRttMs: number | undefined;
  /** The smallest round-trip time of the last minutes. */
  readonly minimumRttMs: number | undefined;
  readonly inRecovery: boolean;
  /** The acknowledgement reports bytes that had arrived before (RFC 2883). */
  readonly duplicateReported: boolean;
  /** Acknowledgements in a row that acknowledged nothing new (RFC 5681 section 2). */
  readonly duplicateAcknowledgements: number;
  /** Takes a range for lost. */
  markLost(range: SentRange): void;
}

export interface LossDetector {
  /**
   * Says which ranges are lost. Returns after how many milliseconds to call again when nothing arrives, or undefined.
   */
  detect(input: DetectionInput): number | undefined;
  /** Recovery has ended. */
  onRecovered(): void;
  /** What was repeated had only been late: when the repetitions were sent says nothing of what was sent before them. */
  onSpurious(): void;
}
