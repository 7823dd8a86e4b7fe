/**
 * F-RTO: whether a retransmission timeout was needless, toward a peer without timestamps. RFC 5682 section 3.1, the
 * variant for selective acknowledgements; step numbers are of that section. After the first repetition is acknowledged,
 * new data goes in place of repetitions: an acknowledgement of what was sent once before the timeout then shows that
 * this had only been late.
 */

export interface ForwardInput {
  /** Everything before it is acknowledged. */
  readonly position: number;
  /** The cumulative acknowledgement moved. */
  readonly advanced: boolean;
  /** Behind the highest byte that it delivers, selectively or not; undefined when it delivers nothing. */
  readonly deliveredTo: number | undefined;
  /** Among what it delivers is something that was sent once. */
  readonly deliversOriginal: boolean;
}

/** "sendNew": new data is to be sent, and nothing repeated, until the next acknowledgement decides. */
export type ForwardVerdict = "undecided" | "sendNew" | "spurious" | "genuine";

export class ForwardRto {
  readonly #recoveryPoint: number;
  #isProbing = false;

  /** `recoveryPoint` is what was sent before the timeout. */
  constructor(recoveryPoint: number) {
    this.#recoveryPoint = recoveryPoint;
  }

  onAcknowledgement({ position, advanced, deliveredTo, deliversOriginal }: ForwardInput): ForwardVerdict {
    if (!this.#isProbing) {
      // Step 2a, and 2b.
      if (!advanced || position >= this.#recoveryPoint) return "genuine";
      this.#isProbing = true;
      return "sendNew";
    }
    // Nothing that decides, as a window update.
    if (deliveredTo === undefined) return "undecided";
    // Step 3a, and 3b.
    return deliveredTo <= this.#recoveryPoint && deliversOriginal ? "spurious" : "genuine";
  }
}
