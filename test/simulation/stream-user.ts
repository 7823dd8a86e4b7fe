/** What uses one end of a connection: writes its bytes, reads in its own time, ends or aborts; and what it must find. */
import { equalBytes } from "@hybrid-access/core/base/bytes";
import { type Random, randomBelow } from "@hybrid-access/core/base/random";
import type { MptcpConnection } from "@hybrid-access/core/stack/mptcp/connection";
import { chance, oneOf } from "./random-choice.ts";

/** What one end is going to do. */
export interface StreamPlan {
  readonly sends: Uint8Array;
  /** The most it reads at once. */
  readonly readBytes: number;
  /** After how many bytes written it aborts instead of going on; never when left out. */
  readonly abortsAfter?: number;
}

const MOST_BYTES = 60_000;

/** Bytes above 0x7f, which the payload modifiers of random paths leave alone; what was lost or shifted shows. */
const PATTERN = Uint8Array.from({ length: 2 * MOST_BYTES }, (_, index) => 0x80 | (7 * index + 13 * (index >> 8)));

function randomStream(random: Random): StreamPlan {
  const [length, first] = [randomBelow(random, MOST_BYTES), randomBelow(random, MOST_BYTES)];
  return {
    sends: PATTERN.subarray(first, first + length),
    readBytes: oneOf(random, [100, 5000, 100_000]),
    ...(chance(random, 0.1) && { abortsAfter: randomBelow(random, MOST_BYTES) }),
  };
}

export class StreamUser {
  connection: MptcpConnection | undefined;
  readonly #plan: StreamPlan;
  readonly #expects: Uint8Array;
  readonly #buffer: Uint8Array;
  readonly #seen = new Map<string, number>();
  #isWrong = false;
  #receivedBytes = 0;
  #writtenBytes = 0;

  constructor(plan: StreamPlan, peer: StreamPlan) {
    this.#plan = plan;
    this.#expects = peer.sends;
    this.#buffer = new Uint8Array(plan.readBytes);
  }

  /** To be called whenever something may have happened. */
  proceed(nowMs: number): void {
    const { connection } = this;
    if (connection === undefined) return;
    this.#takeEvents(connection);
    this.#read(connection);
    if (!this.#seen.has("connected") || connection.closeReason !== undefined) return;
    const { sends, abortsAfter = Number.POSITIVE_INFINITY } = this.#plan;
    if (this.#writtenBytes < sends.length) {
      this.#writtenBytes += connection.write(sends.subarray(this.#writtenBytes), nowMs);
    }
    if (this.#writtenBytes >= abortsAfter) connection.reset(nowMs);
    else if (this.#writtenBytes === sends.length) connection.shutdownWrite(nowMs);
  }

  #takeEvents(connection: MptcpConnection): void {
    for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) {
      this.#seen.set(event.type, (this.#seen.get(event.type) ?? 0) + 1);
    }
  }

  #read(connection: MptcpConnection): void {
    for (let length = connection.read(this.#buffer); length > 0; length = connection.read(this.#buffer)) {
      const expected = this.#expects.subarray(this.#receivedBytes, this.#receivedBytes + length);
      if (!equalBytes(expected, this.#buffer.subarray(0, length))) this.#isWrong = true;
      this.#receivedBytes += length;
    }
  }

  /** How it went: the reason of its end, and over what. */
  get outcome(): string {
    const { connection } = this;
    if (connection === undefined) return "never opened";
    const subflows = this.#seen.get("subflowEstablished") ?? 0;
    const kind = connection.isMultipath ? (subflows > 1 ? "several subflows" : "one subflow") : "plain TCP";
    return `${connection.closeReason ?? "open"} with ${kind}`;
  }

  /** What must not be when all is over; undefined when all is well. */
  fault(): string | undefined {
    const { connection } = this;
    if (this.#isWrong) return `a byte before ${this.#receivedBytes} is not the peer's`;
    if (connection === undefined) return undefined;
    const { closeReason } = connection;
    if (closeReason === undefined) return "not over";
    const isWhole = this.#receivedBytes === this.#expects.length;
    if (this.#seen.has("ended") && !isWhole) {
      return `ended after ${this.#receivedBytes} of ${this.#expects.length} bytes`;
    }
    if (closeReason === "finished" && !isWhole) return "finished before all bytes were there";
    return leftoverOf(connection);
  }
}

/** What a connection that is over still has, and must not. */
function leftoverOf(connection: MptcpConnection): string | undefined {
  const { sender, receiver } = connection.parts.session;
  const bytes = sender.bufferedBytes + receiver.outOfOrderBytes;
  if (bytes > 0) return `keeps ${bytes} bytes`;
  if (connection.subflows.length > 0) return `keeps ${connection.subflows.length} subflows`;
  return connection.pollTimeout() === undefined ? undefined : "a timer is left";
}

/** Both ends of one connection. */
export interface Flow {
  readonly client: StreamUser;
  readonly server: StreamUser;
}

export function randomFlow(random: Random): Flow {
  const [up, down] = [randomStream(random), randomStream(random)];
  return { client: new StreamUser(up, down), server: new StreamUser(down, up) };
}

/** The first fault of any end of any flow. */
export function faultOf(flows: readonly Flow[]): string | undefined {
  for (const [index, { client, server }] of flows.entries()) {
    for (const [name, user] of [["client", client] as const, ["server", server] as const]) {
      const fault = user.fault();
      if (fault !== undefined) return `flow ${index}, ${name}: ${fault}`;
    }
  }
  return undefined;
}
