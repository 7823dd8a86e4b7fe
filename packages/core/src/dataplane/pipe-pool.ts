/** Pipes for bulk transfers: opened when first needed, kept for the next one, never more than the descriptors allow. */
import type { Pipe, Splicing } from "../engine/engine.ts";

/** More is no faster, and costs delay; less is slower (docs/adr/0013). */
export const PIPE_BYTES = 256 * 1024;

/** Kept open for the next transfer: only those of slow receivers are in use for longer than a moment. */
const MOST_IDLE = 4;

/** A pipe with what is in it. */
export interface FilledPipe {
  readonly pipe: Pipe;
  bytes: number;
}

export class PipePool {
  readonly #splicing: Splicing;
  readonly #idle: FilledPipe[] = [];
  #left: number;

  /** At most `most` pipes at once. */
  constructor(splicing: Splicing, most: number) {
    this.#splicing = splicing;
    this.#left = most;
  }

  /** An empty pipe, or undefined when all are in use. */
  take(): FilledPipe | undefined {
    const idle = this.#idle.pop();
    if (idle !== undefined || this.#left === 0) return idle;
    const pipe = this.#splicing.openPipe(PIPE_BYTES);
    if (pipe === undefined) return undefined;
    this.#left -= 1;
    return { pipe, bytes: 0 };
  }

  /** Takes a pipe back, and closes it when there are enough, or when it still holds bytes of an aborted connection. */
  give(pipe: FilledPipe): void {
    if (pipe.bytes === 0 && this.#idle.length < MOST_IDLE) {
      this.#idle.push(pipe);
    } else {
      this.#splicing.closePipe(pipe.pipe);
      this.#left += 1;
    }
  }
}
