/**
 * Linux does not tell of the end of a connection that its peer has aborted (MP_FASTCLOSE). So every now and then the
 * kernel is asked which connections it has, and what it does not have any more counts as closed.
 */

const SWEEP_MS = 5000;
/** A sweep is followed by a pause of so many times its own length: a twentieth of the control plane's thread at most. */
const PAUSE_FACTOR = 20;

export interface ConnectionSweepOptions {
  /** Tokens of the connections that are taken to be open. */
  readonly known: () => readonly number[];
  /** Tokens of the connections that the kernel has. */
  readonly inKernel: () => ReadonlySet<number> | Promise<ReadonlySet<number>>;
  readonly onGone: (token: number) => void;
  /** The kernel did not answer; the next sweep comes all the same. */
  readonly onFailure: (error: unknown) => void;
}

export class ConnectionSweep {
  readonly #options: ConnectionSweepOptions;
  #timer: NodeJS.Timeout | undefined;
  #failed = false;
  #stopped = false;

  constructor(options: ConnectionSweepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(SWEEP_MS);
  }

  #schedule(pauseMs: number): void {
    this.#timer = setTimeout(() => void this.#sweepAndSchedule(), pauseMs);
    this.#timer.unref();
  }

  async #sweepAndSchedule(): Promise<void> {
    const startedMs = performance.now();
    await this.sweep();
    if (!this.#stopped) this.#schedule(Math.max(SWEEP_MS, PAUSE_FACTOR * (performance.now() - startedMs)));
  }

  async sweep(): Promise<void> {
    const { known, inKernel, onGone, onFailure } = this.#options;
    // Known first: what the kernel has told of and does not have now is gone. It may have new ones not told of yet.
    const tokens = known();
    if (tokens.length === 0) return;
    try {
      const present = await inKernel();
      for (const token of tokens) if (!present.has(token)) onGone(token);
      this.#failed = false;
    } catch (error) {
      // One line for a failure that repeats itself.
      if (!this.#failed) onFailure(error);
      this.#failed = true;
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
