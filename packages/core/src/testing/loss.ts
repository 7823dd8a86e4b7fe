/** How links lose packets. */
import type { Random } from "../base/random.ts";

/**
 * Losses in bursts (Gilbert and Elliott): a link that is good or bad, and may change before each packet. A burst has
 * 1 / `leave` packets in the mean, and the share `enter / (enter + leave)` of all packets meets a bad link.
 */
export interface BurstLoss {
  /** The chance that a good link turns bad, 0 to 1. */
  readonly enter: number;
  /** The chance that a bad link turns good, 0 to 1. */
  readonly leave: number;
  /** The share of packets lost while it is bad; all when left out. */
  readonly loss?: number;
}

/** Both ways to lose packets; either may be left out. */
export interface LossOptions {
  /** The share of packets lost, each by itself, 0 to 1. */
  readonly loss?: number;
  readonly burstLoss?: BurstLoss;
}

/** Decides over one packet after the other. Draws no chance for what is left out, so that runs without it stay the same. */
export class LossModel {
  readonly #random: Random;
  #isBad = false;

  constructor(random: Random) {
    this.#random = random;
  }

  loses({ loss = 0, burstLoss }: LossOptions): boolean {
    if (loss > 0 && this.#random.next() < loss) return true;
    if (burstLoss === undefined) return false;
    const { enter, leave, loss: lossWhileBad = 1 } = burstLoss;
    if (this.#random.next() < (this.#isBad ? leave : enter)) this.#isBad = !this.#isBad;
    return this.#isBad && this.#random.next() < lossWhileBad;
  }
}
