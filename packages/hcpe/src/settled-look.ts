/** A look at something that changes in bursts: once for what comes close together, and again where it failed. */

/** Notifications come in bursts: what follows the first within this time is looked at together. */
export const SETTLE_MS = 20;
/** When the kernel's state could not be read. */
export const RETRY_MS = 1000;

export interface SettledLookOptions {
  /** Throws where there was nothing to see. */
  readonly look: () => void;
  readonly onFailure: (error: unknown) => void;
}

export class SettledLook {
  readonly #options: SettledLookOptions;
  #timer: NodeJS.Timeout | undefined;
  #noticedMs: number | undefined;

  constructor(options: SettledLookOptions) {
    this.#options = options;
  }

  /** Something has changed. */
  notice(): void {
    this.#noticedMs ??= performance.now();
    this.#schedule(SETTLE_MS);
  }

  #schedule(delayMs: number): void {
    this.#timer ??= setTimeout(() => this.#look(), delayMs);
  }

  #look(): void {
    this.#timer = undefined;
    try {
      this.#options.look();
    } catch (error) {
      this.#options.onFailure(error);
      this.#schedule(RETRY_MS);
    }
  }

  /** When the first change was noticed that has not been taken yet; undefined when there is none. */
  takeNoticedMs(): number | undefined {
    const noticedMs = this.#noticedMs;
    this.#noticedMs = undefined;
    return noticedMs;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
