/** What HCPEs are told that ask: the share of the connections this gateway can have; all while it takes no more. */

const INTERVAL_MS = 500;
const FULL_PERCENT = 100;

export interface LoadOptions {
  /** Connections that are open. */
  readonly active: () => number;
  readonly most: number;
  readonly takesMore: () => boolean;
  /** After each time that the load was told. */
  readonly onTold: () => void;
}

export class GatewayLoad {
  /** One word, in percent. Shared with the workers, which answer. */
  readonly memory = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  #timer: NodeJS.Timeout | undefined;

  start(options: LoadOptions): void {
    this.#timer = setInterval(() => this.#tell(options), INTERVAL_MS);
  }

  #tell({ active, most, takesMore, onTold }: LoadOptions): void {
    const percent = takesMore() ? Math.min(FULL_PERCENT, Math.round((FULL_PERCENT * active()) / most)) : FULL_PERCENT;
    Atomics.store(new Int32Array(this.memory), 0, percent);
    onTold();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
