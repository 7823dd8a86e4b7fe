/** What uses one end of a connection: writes its bytes, reads in its own time, ends or aborts; and what it must find. */
import { equalBytes } from "@hybrid-access/core/base/bytes";
import { type Random, randomBelow } from "@hybrid-access/core/base/random";
import type { TcpConnection } from "@hybrid-access/core/stack/tcp/connection";

/** What one end is going to do. */
export interface StreamPlan {
  readonly sends: Uint8Array;
  /** The most it reads at once. */
  readonly readBytes: number;
  /** After how many bytes written it aborts instead of going on; never when left out. */
  readonly abortsAfter?: number;
}

const MOST_BYTES = 60_000;

/** Bytes above 0x7f, which the payload modifiers of random paths leave alone. */
export function randomStream(random: Random): StreamPlan {
  const [length, first] = [randomBelow(random, MOST_BYTES), randomBelow(random, 0x80)];
  return {
    sends: new Uint8Array(length).map((_, index) => 0x80 | (first + 7 * index + 13 * (index >> 8))),
    readBytes: [100, 5000, 100_000][randomBelow(random, 3)] ?? 5000,
    ...(random.next() < 0.1 && { abortsAfter: randomBelow(random, MOST_BYTES) }),
  };
}

export class StreamUser {
  readonly plan: StreamPlan;
  connection: TcpConnection | undefined;
  /** Bytes that were not those of the peer at their place. */
  isWrong = false;
  receivedBytes = 0;
  readonly #expects: Uint8Array;
  readonly #buffer: Uint8Array;
  #writtenBytes = 0;

  constructor(plan: StreamPlan, peer: StreamPlan) {
    this.plan = plan;
    this.#expects = peer.sends;
    this.#buffer = new Uint8Array(plan.readBytes);
  }

  /** To be called whenever something may have happened. */
  proceed(): void {
    const { connection } = this;
    if (connection === undefined) return;
    while (connection.pollEvent() !== undefined) {
      // What they say is looked at below, all at once.
    }
    this.#read(connection);
    if (connection.state === "closed" || connection.state === "synSent") return;
    const { sends, abortsAfter = Infinity } = this.plan;
    if (this.#writtenBytes < sends.length) this.#writtenBytes += connection.write(sends.subarray(this.#writtenBytes));
    if (this.#writtenBytes >= abortsAfter) connection.reset();
    else if (this.#writtenBytes === sends.length) connection.shutdownWrite();
  }

  #read(connection: TcpConnection): void {
    for (let length = connection.read(this.#buffer); length > 0; length = connection.read(this.#buffer)) {
      const expected = this.#expects.subarray(this.receivedBytes, this.receivedBytes + length);
      if (!equalBytes(expected, this.#buffer.subarray(0, length))) this.isWrong = true;
      this.receivedBytes += length;
    }
  }

  /** What must not be when all is over; undefined when all is well. */
  fault(): string | undefined {
    const { connection } = this;
    if (this.isWrong) return `a byte before ${this.receivedBytes} is not the peer's`;
    if (connection === undefined) return undefined;
    if (connection.closeReason === undefined) return `still ${connection.state}`;
    const isWhole = this.receivedBytes === this.#expects.length;
    if (connection.hasEnded && !isWhole) return `ended after ${this.receivedBytes} of ${this.#expects.length} bytes`;
    if (connection.closeReason === "finished" && !isWhole) return "finished before all bytes were there";
    const { outOfOrderBytes, unacknowledgedBytes } = connection.memory;
    if (outOfOrderBytes + unacknowledgedBytes > 0) return `keeps ${outOfOrderBytes} and ${unacknowledgedBytes} bytes`;
    return connection.pollTimeout() === undefined ? undefined : "a timer is left";
  }
}
