/**
 * Tells the kernel again and again that this thread runs. When it hangs, what waits for it in a queue would wait as long;
 * after a short time without a sign the kernel hands it nothing more.
 */
import type { Logger } from "@hybrid-access/core/services/log";

const BEAT_MS = 100;
/** As long as this thread may be kept from running, by a busy host or by its own work, without being taken for hung. */
const LIFE_MS = 500;

/** What the kernel goes by; the sign is lost when it is not renewed in time. */
export interface Sign {
  renew(lifeMs: number): void;
  close(): void;
}

export class LifeSign {
  readonly #sign: Sign;
  readonly #timer: NodeJS.Timeout;
  #failing = false;

  constructor(sign: Sign, log: Logger) {
    this.#sign = sign;
    const beat = () => {
      try {
        sign.renew(LIFE_MS);
        this.#failing = false;
      } catch (error) {
        if (!this.#failing)
          log.error({ error }, "the kernel cannot be told that the director runs; it decides nothing");
        this.#failing = true;
      }
    };
    beat();
    this.#timer = setInterval(beat, BEAT_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#sign.close();
  }
}
