/** Random: any of the subflows with room, each as likely. What others are compared with (PAMS 2014). */
import { type Random, randomBelow } from "../../base/random.ts";
import type { SchedulableSubflow, Scheduler, SchedulerAlgorithm } from "./scheduler.ts";

class RandomScheduler implements Scheduler {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  choose<Subflow extends SchedulableSubflow>(subflows: readonly Subflow[]): Subflow | undefined {
    const ready = subflows.filter(({ sendableBytes }) => sendableBytes > 0);
    return ready.length > 1 ? ready[randomBelow(this.#random, ready.length)] : ready[0];
  }
}

export const RANDOM = {
  name: "random",
  create: (makeRandom: () => Random): Scheduler => new RandomScheduler(makeRandom()),
} as const satisfies SchedulerAlgorithm;
