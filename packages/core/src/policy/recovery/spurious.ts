/**
 * Whether the recovery that goes on, or has just ended, was needless. Timestamps and reported duplicates tell it
 * (spurious-repetitions.ts); after a timeout, where there are no timestamps, F-RTO finds out (forward-rto.ts).
 */
import { ForwardRto } from "./forward-rto.ts";
import { SpuriousRepetitions, type Stretch } from "./spurious-repetitions.ts";

/** What an acknowledgement has delivered: a range of what was sent. */
interface Delivered extends Stretch {
  readonly transmissions: number;
}

/** What an acknowledgement says. Positions in the stream. */
export interface SpuriousInput {
  readonly position: number;
  readonly advanced: boolean;
  readonly echoedMs: number | undefined;
  readonly duplicate: Stretch | undefined;
  /** What it has delivered. */
  readonly delivered: readonly Delivered[];
  readonly someLost: boolean;
}

/** RFC 5682 section 3.1 step 2b. */
const FORWARD_SEGMENTS = 2;

export class SpuriousJudge {
  readonly afterTimeout: boolean;
  readonly #repetitions: SpuriousRepetitions;
  #forward: ForwardRto | undefined;
  #forwardSegments = 0;
  #holdsRepetitions = false;

  /** `timeoutPoint` is what had been sent when the timer expired; undefined for a recovery without a timeout. */
  constructor(timeoutPoint?: number) {
    this.afterTimeout = timeoutPoint !== undefined;
    this.#repetitions = new SpuriousRepetitions(this.afterTimeout);
    this.#forward = timeoutPoint === undefined ? undefined : new ForwardRto(timeoutPoint);
  }

  /** Segments of new data that are to be sent at once, whatever the window of congestion control. */
  get forwardSegments(): number {
    return this.#forwardSegments;
  }

  /** Nothing is to be repeated until the next acknowledgement. */
  get holdsRepetitions(): boolean {
    return this.#holdsRepetitions;
  }

  onRepeated(range: Stretch, nowMs: number): void {
    this.#repetitions.onRepeated(range, nowMs);
  }

  /** One of {@link forwardSegments} was sent. */
  onForwarded(): void {
    this.#forwardSegments = Math.max(0, this.#forwardSegments - 1);
  }

  /** There is no new data, or no room for it at the peer: F-RTO cannot find out. What was sent already, may still. */
  onNothingToForward(): void {
    if (this.#forwardSegments === FORWARD_SEGMENTS) this.#endForward();
    this.#forwardSegments = 0;
  }

  /** The timer has expired again. */
  onRepeatedTimeout(): void {
    this.#endForward();
  }

  /** Whether it is certain by now. */
  isSpurious(ack: SpuriousInput): boolean {
    const deliversRepeated = ack.delivered.some(
      ({ start, transmissions }) => transmissions > 1 && start >= ack.position,
    );
    const isSpurious = this.#repetitions.isSpurious({ ...ack, deliversRepeated });
    // Timestamps tell earlier, and as surely.
    if (ack.echoedMs !== undefined) this.#endForward();
    return this.#judgeForward(ack) || isSpurious;
  }

  #judgeForward({ position, advanced, delivered }: SpuriousInput): boolean {
    const deliveredTo = delivered.length === 0 ? undefined : Math.max(...delivered.map(({ end }) => end));
    const deliversOriginal = delivered.some(({ transmissions }) => transmissions === 1);
    const verdict = this.#forward?.onAcknowledgement({ position, advanced, deliveredTo, deliversOriginal });
    if (verdict === "sendNew") {
      this.#forwardSegments = FORWARD_SEGMENTS;
      this.#holdsRepetitions = true;
    } else if (verdict === "genuine" || verdict === "spurious") this.#endForward();
    return verdict === "spurious";
  }

  #endForward(): void {
    this.#forward = undefined;
    this.#forwardSegments = 0;
    this.#holdsRepetitions = false;
  }
}
