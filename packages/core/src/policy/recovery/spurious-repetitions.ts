/**
 * Whether what was taken for lost, and sent again, had only been late: by timestamps (the Eifel detection, RFC 3522), and
 * by reported duplicates (RFC 2883, RFC 3708). One of these for each recovery, or series of timeouts. What follows from
 * it is congestion control's (RFC 4015).
 */

/** Positions in the stream; `end` is exclusive. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

export interface RepetitionJudgement {
  /** Everything before it is acknowledged. */
  readonly position: number;
  /** The cumulative acknowledgement moved. */
  readonly advanced: boolean;
  /** When that was sent which it answers (TSecr), or undefined. */
  readonly echoedMs: number | undefined;
  /** What it reports to have arrived twice (RFC 2883), or undefined. */
  readonly duplicate: Stretch | undefined;
  /** It acknowledges selectively what was repeated: which copy has arrived, nobody can tell. */
  readonly deliversRepeated: boolean;
  /** Something that is taken for lost was not sent again yet. */
  readonly someLost: boolean;
}

/** Repetitions of one recovery that are remembered; with more, nothing is undone. */
export const MOST_REPETITIONS = 64;

export class SpuriousRepetitions {
  readonly #afterTimeout: boolean;
  /** Repeated, and no duplicate of it reported. */
  #unreported: Stretch[] = [];
  #firstMs: number | undefined;
  /** Behind the last byte that was repeated. */
  #end = 0;
  #count = 0;
  #judgedTo = 0;
  #anyLate = false;
  /** A repetition has filled a gap, or may have. */
  #anyNeeded = false;

  /** After a timeout all is taken for lost, so that the first acknowledgement decides (RFC 3522 step 5). */
  constructor(afterTimeout: boolean) {
    this.#afterTimeout = afterTimeout;
  }

  onRepeated({ start, end }: Stretch, nowMs: number): void {
    // Timestamps are whole milliseconds.
    this.#firstMs ??= Math.floor(nowMs);
    this.#end = Math.max(this.#end, end);
    this.#count += 1;
    if (this.#count <= MOST_REPETITIONS) this.#unreported.push({ start, end });
  }

  /** Whether it is certain by now that all of it was needless. */
  isSpurious(ack: RepetitionJudgement): boolean {
    if (this.#count === 0 || this.#count > MOST_REPETITIONS) return false;
    if (ack.duplicate !== undefined) this.#onDuplicate(ack.duplicate);
    else if (this.#anyNeeded) return false;
    if (this.#unreported.length === 0) return !ack.someLost;
    if (ack.deliversRepeated) this.#anyNeeded = true;
    if (ack.advanced) this.#judgeByTime(ack);
    if (this.#anyNeeded || !this.#anyLate) return false;
    return this.#afterTimeout || (!ack.someLost && ack.position >= this.#end);
  }

  /** One copy of each repetition that lies in it has been in vain. */
  #onDuplicate({ start, end }: Stretch): void {
    const reported = new Set<number>();
    this.#unreported = this.#unreported.filter((repetition) => {
      const isReported = repetition.start >= start && repetition.end <= end && !reported.has(repetition.start);
      if (isReported) reported.add(repetition.start);
      return !isReported;
    });
  }

  /** RFC 3522 step 5: an answer to something that was sent before the first repetition is one to the original. */
  #judgeByTime({ position, echoedMs }: RepetitionJudgement): void {
    const judgedTo = this.#judgedTo;
    this.#judgedTo = position;
    if (!this.#unreported.some(({ start, end }) => start < position && end > judgedTo)) return;
    if (echoedMs !== undefined && echoedMs < (this.#firstMs ?? 0)) this.#anyLate = true;
    else this.#anyNeeded = true;
  }
}
