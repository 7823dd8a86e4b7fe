/**
 * Resets subflows on which what this gateway sends stands still (RFC 8041 section 2.2, INFOCOM14): only the sender sees
 * it, only the client opens a subflow afresh (section 3.3).
 */
import { describeError } from "@hybrid-access/core/base/error";
import type { AcceptedPaths } from "@hybrid-access/core/engine/engine";
import type { PathSamples, SubflowSample } from "@hybrid-access/core/policy/path-manager/samples";
import { StallDetector } from "@hybrid-access/core/policy/path-manager/stall";
import type { Logger } from "@hybrid-access/core/services/log";
import { Sampler } from "@hybrid-access/core/services/sampler";

export interface StalledSubflowsOptions {
  readonly paths: Pick<AcceptedPaths, "samples" | "resetSubflow">;
  /** Open now, of all workers. */
  readonly connections: () => number;
  /** So many subflows are open. */
  readonly onCount: (subflows: number) => void;
  /** Somebody waits for fewer subflows: they are counted though there may be no connection. */
  readonly awaitsRoom: () => boolean;
  readonly log: Logger;
}

export class StalledSubflows {
  readonly #options: StalledSubflowsOptions;
  readonly #detector = new StallDetector();
  readonly #sampler: Sampler<PathSamples>;
  #failed = false;
  /** Reset so far. */
  reset = 0;

  constructor(options: StalledSubflowsOptions) {
    this.#options = options;
    this.#sampler = new Sampler({
      read: () => options.paths.samples(),
      need: () => (options.connections() > 0 || options.awaitsRoom() ? "some" : "none"),
      onSamples: (samples) => {
        options.onCount(samples.subflows.length);
        for (const subflow of this.#detector.update(samples, performance.now())) void this.#reset(subflow);
      },
      log: options.log,
    });
  }

  /** There may be connections now. */
  watch(): void {
    this.#sampler.hasChanged();
  }

  async #reset({ token, local, remote }: SubflowSample): Promise<void> {
    try {
      const reset = await this.#options.paths.resetSubflow({ local, remote });
      this.#options.log.debug({ token, local, remote, reset }, "a subflow stands still");
      if (reset) this.reset += 1;
    } catch (error) {
      // One line for what this host cannot do.
      if (!this.#failed) this.#options.log.warn({ error, detail: describeError(error) }, "a subflow cannot be reset");
      this.#failed = true;
    }
  }

  stop(): void {
    this.#sampler.stop();
  }
}
