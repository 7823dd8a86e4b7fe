/** One connection through the pair whose demand can be set: what arrives, how it stalls, and whether it is whole. */
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { ADDRESS } from "./hybrid.ts";
import type { Pair } from "./pair.ts";
import { connectFrom, pattern, type StreamServer } from "./stream.ts";
import type { TransferDirection } from "./transfer.ts";

const TICK_MS = 10;
/** What may wait in the sender's own process: little, so that a lower demand is felt soon. */
const WAITING_BYTES = 128 * 1024;
const BLOCK = pattern(1_000_003, 7);

export class PacedStream {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #timer: NodeJS.Timeout;
  readonly #sent = createHash("sha256");
  readonly #received = createHash("sha256");
  readonly #ended: Promise<string>;
  #offset = 0;
  #credit = 0;
  #lastTickMs = performance.now();
  #lastArrivalMs = performance.now();
  #longestGapMs = 0;
  receivedBytes = 0;
  /** Set to infinity to send as fast as it goes. */
  demandBitsPerSecond: number;

  private constructor(from: Socket, to: Socket, demandBitsPerSecond: number) {
    this.#from = from;
    this.#to = to;
    this.demandBitsPerSecond = demandBitsPerSecond;
    from.resume();
    to.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#ended = new Promise((resolve) => {
      to.once("end", () => resolve("end"));
      to.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
    });
    to.resume();
    this.#timer = setInterval(() => this.#send(), TICK_MS);
  }

  /** Opens a connection from the LAN to the node "srv"; payload goes in `direction`. */
  static async open(
    pair: Pair,
    server: StreamServer,
    port: number,
    direction: TransferDirection,
    demandBitsPerSecond: number,
  ): Promise<PacedStream> {
    const near = connectFrom(pair.lab, "lan", ADDRESS.server, port);
    const far = await server.acceptFrom(near);
    const [from, to] = direction === "download" ? [far, near] : [near, far];
    return new PacedStream(from, to, demandBitsPerSecond);
  }

  #take(chunk: Buffer): void {
    const nowMs = performance.now();
    this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastArrivalMs);
    this.#lastArrivalMs = nowMs;
    this.#received.update(chunk);
    this.receivedBytes += chunk.length;
  }

  #send(): void {
    const nowMs = performance.now();
    this.#credit += (this.demandBitsPerSecond * (nowMs - this.#lastTickMs)) / 8000;
    this.#lastTickMs = nowMs;
    const room = Math.max(0, WAITING_BYTES - this.#from.writableLength);
    const length = Math.floor(Math.min(this.#credit, room, BLOCK.length - this.#offset));
    // What could not be sent is not made up for.
    this.#credit = Math.min(this.#credit - length, WAITING_BYTES);
    if (length <= 0) return;
    const piece = BLOCK.subarray(this.#offset, this.#offset + length);
    this.#offset = (this.#offset + length) % BLOCK.length;
    this.#sent.update(piece);
    this.#from.write(piece);
  }

  /** Forgets earlier stalls. */
  resetGap(): void {
    this.#longestGapMs = 0;
    this.#lastArrivalMs = performance.now();
  }

  /** The longest time without a byte since {@link resetGap}, the one that still lasts included. */
  get longestGapSeconds(): number {
    return Math.max(this.#longestGapMs, performance.now() - this.#lastArrivalMs) / 1000;
  }

  /** Ends the stream and says whether everything that was sent has arrived, in order. */
  async finish(): Promise<boolean> {
    clearInterval(this.#timer);
    this.#from.end();
    const end = await this.#ended;
    this.#to.end();
    return end === "end" && this.#sent.digest("hex") === this.#received.digest("hex");
  }

  /** Ends it without asking how. */
  abandon(): void {
    clearInterval(this.#timer);
    this.#from.destroy();
    this.#to.destroy();
  }
}
