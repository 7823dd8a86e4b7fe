/** Reads what every connection and subflow has carried, as often as whoever decides about them needs to know. */
import { describeError } from "../base/error.ts";
import type { Logger } from "./log.ts";

/** While connections have several subflows: one of them may stand still. */
const LOOK_MS = 500;
/** While connections wait until they have carried enough. */
const URGENT_LOOK_MS = 100;
/** A look is followed by a pause of so many times its own length. */
const PAUSE_FACTOR = 20;

export interface SamplerOptions<Samples> {
  readonly read: () => Samples | Promise<Samples>;
  readonly need: () => "none" | "some" | "urgent";
  readonly onSamples: (samples: Samples) => void;
  readonly log: Logger;
}

export class Sampler<Samples> {
  readonly #options: SamplerOptions<Samples>;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  /** No look before: the last one took its time. */
  #earliestMs = 0;
  #looking = false;
  #failed = false;
  #stopped = false;

  constructor(options: SamplerOptions<Samples>) {
    this.#options = options;
  }

  /** What is needed may have changed. */
  hasChanged(): void {
    const need = this.#options.need();
    if (need === "none" || this.#looking || this.#stopped) return;
    const nowMs = performance.now();
    const dueMs = Math.max(this.#earliestMs, nowMs + (need === "urgent" ? URGENT_LOOK_MS : LOOK_MS));
    if (dueMs >= this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => void this.#look(), dueMs - nowMs);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#looking = true;
    const samples = await this.#read();
    this.#looking = false;
    if (samples !== undefined && !this.#stopped) this.#options.onSamples(samples);
    this.hasChanged();
  }

  /** Undefined when the kernel does not answer: the next look asks again. */
  async #read(): Promise<Samples | undefined> {
    const startedMs = performance.now();
    try {
      const samples = await this.#options.read();
      this.#failed = false;
      const endedMs = performance.now();
      this.#earliestMs = endedMs + PAUSE_FACTOR * (endedMs - startedMs);
      return samples;
    } catch (error) {
      // One line for a failure that repeats itself.
      if (!this.#failed) this.#options.log.error({ error, detail: describeError(error) }, "subflows could not be read");
      this.#failed = true;
      return undefined;
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
