/** Writes down what hosts send and receive, as a capture file: one interface for each end of each path. */
import { concatBytes } from "../../base/bytes.ts";
import { pcapngHeader, pcapngPacket } from "../../wire/pcapng.ts";

/** What a capture may have, unless it is told another number; what comes later is left out. */
export const DEFAULT_CAPTURE_BYTES = 64 * 1024 * 1024;

export class Recorder {
  readonly #interfaces: readonly string[];
  readonly #mostBytes: number;
  readonly #blocks: Uint8Array[] = [];
  #bytes = 0;
  #leftOut = 0;

  /** `interfaces` are all that will be named. */
  constructor(interfaces: readonly string[], mostBytes = DEFAULT_CAPTURE_BYTES) {
    this.#interfaces = interfaces;
    this.#mostBytes = mostBytes;
  }

  /** Packets that had no room. */
  get leftOut(): number {
    return this.#leftOut;
  }

  record(name: string, timeMs: number, packet: Uint8Array): void {
    const block = pcapngPacket(packet, { timeMs, interface: Math.max(0, this.#interfaces.indexOf(name)) });
    if (this.#bytes + block.length > this.#mostBytes) {
      this.#leftOut += 1;
      return;
    }
    this.#bytes += block.length;
    this.#blocks.push(block);
  }

  /** The whole file; `comment` says how it came to be. */
  file(comment: string): Uint8Array {
    return concatBytes([pcapngHeader({ interfaces: this.#interfaces, comment }), ...this.#blocks]);
  }
}
