/**
 * An engine in memory, for tests of what stands on one: no sockets, no clock. Its legs belong to a host each,
 * whose side of the stream the test plays. Reads and writes may be cut short anywhere, by a seed.
 */
import type { Endpoint } from "@hybrid-access/core/base/ip-address";
import { type Random, randomBelow, SeededRandom } from "@hybrid-access/core/base/random";
import {
  type Capabilities,
  type ConnectionInfo,
  type ConnectOptions,
  type ConnectResult,
  type Engine,
  type Leg,
  type Pipe,
  READY,
  WOULD_BLOCK,
} from "@hybrid-access/core/engine/engine";
import { ERRNO } from "@hybrid-access/core/platform/errno";

const LACKING = { available: false, reason: "simulated" } as const;

/** One leg, and the host at its other end. */
interface MemoryLeg {
  readonly leg: Leg;
  tag: number | undefined;
  /** Sent by the host, not read yet. */
  incoming: number[];
  /** Some of what is there was sent urgently: a read may stop anywhere. */
  urgent: boolean;
  hostEnded: boolean;
  hostReset: boolean;
  /** A read or write has told of the reset: Linux does so once, and then reads the end of the stream. */
  resetTold: boolean;
  /** What the host has received. */
  readonly received: number[];
  /** Bytes that the leg takes before it says "would block". */
  room: number;
  blocked: boolean;
  /** We have ended our stream. */
  shut: boolean;
  state: "open" | "closed" | "reset";
  /** Readiness that has not been reported; that to write only when it is wanted. */
  edges: number;
  tellsWritable: boolean;
}

export interface MemoryEngineOptions {
  readonly seed?: number;
  /** The most that one read or write moves; 0: all that there is. */
  readonly mostBytes?: number;
}

export class MemoryEngine implements Engine {
  readonly name = "simulated";
  readonly capabilities: Capabilities = {
    multipathTcp: LACKING,
    fastOpenConnect: LACKING,
    fastOpenListen: LACKING,
    transparent: LACKING,
    pathControl: LACKING,
    acceptedPaths: LACKING,
  };
  readonly #legs: MemoryLeg[] = [];
  readonly #random: Random;
  readonly #mostBytes: number;
  /** Calls of {@link peek} and {@link read}, and pipes filled, so far. */
  peeks = 0;
  fills = 0;
  /** How many pipes are open. */
  pipes = 0;
  reads = 0;

  constructor({ seed = 1, mostBytes = 0 }: MemoryEngineOptions = {}) {
    this.#random = new SeededRandom(seed);
    this.#mostBytes = mostBytes;
  }

  /** A new leg, established, whose host takes `room` bytes until {@link makeRoom}. */
  create(room: number): Leg {
    const leg = this.#legs.length;
    this.#legs.push({
      leg,
      tag: undefined,
      incoming: [],
      urgent: false,
      hostEnded: false,
      hostReset: false,
      resetTold: false,
      received: [],
      room,
      blocked: room === 0,
      shut: false,
      state: "open",
      edges: room > 0 ? READY.write : 0,
      tellsWritable: false,
    });
    return leg;
  }

  /** The host sends. */
  send(leg: Leg, bytes: Iterable<number>, urgent = false): void {
    const at = this.#at(leg);
    if (at.hostEnded || at.hostReset) return;
    for (const byte of bytes) at.incoming.push(byte);
    at.urgent ||= urgent;
    at.edges |= urgent ? READY.read | READY.urgent : READY.read;
  }

  /** The host ends its stream. */
  end(leg: Leg): void {
    const at = this.#at(leg);
    at.hostEnded = true;
    at.edges |= READY.read | READY.peerClosed | (at.shut ? READY.hangUp : 0);
  }

  /** The host resets. */
  abort(leg: Leg): void {
    const at = this.#at(leg);
    at.hostReset = true;
    at.edges |= READY.read | READY.error | READY.hangUp;
  }

  /** The host reads: the leg takes more. */
  makeRoom(leg: Leg, bytes: number): void {
    const at = this.#at(leg);
    at.room += bytes;
    if (at.blocked) at.edges |= READY.write;
    at.blocked = false;
  }

  /** What the host sees: its bytes, and how its stream stands. */
  host(leg: Leg): { readonly received: readonly number[]; readonly end: "open" | "end" | "reset" } {
    const { received, state, shut } = this.#at(leg);
    return { received, end: state === "reset" ? "reset" : shut || state === "closed" ? "end" : "open" };
  }

  /** Whether the leg was given back. */
  isReleased(leg: Leg): boolean {
    return this.#at(leg).state !== "open";
  }

  /** Reports edges, as an epoll would, until there are none. True when there were any. */
  deliver(onReady: (tag: number, bits: number) => void): boolean {
    let any = false;
    for (const at of this.#legs) {
      const bits = at.tellsWritable ? at.edges : at.edges & ~READY.write;
      if (at.tag === undefined || bits === 0 || at.state !== "open") continue;
      at.edges &= ~bits;
      any = true;
      onReady(at.tag, bits);
    }
    return any;
  }

  watch(leg: Leg, tag: number, writes: boolean): number {
    const at = this.#at(leg);
    at.tag = tag;
    at.tellsWritable = writes;
    return 0;
  }

  changeWatch(leg: Leg, tag: number, writes: boolean): number {
    const at = this.#at(leg);
    if (!at.blocked) at.edges |= READY.write;
    if (at.incoming.length > 0 || at.hostEnded) at.edges |= READY.read;
    return this.watch(leg, tag, writes);
  }

  read(leg: Leg, into: Uint8Array, length: number): number {
    this.reads += 1;
    const shown = this.#show(leg, into, length);
    return shown > 0 ? this.discard(leg, shown) : shown;
  }

  peek(leg: Leg, into: Uint8Array, length: number): number {
    this.peeks += 1;
    return this.#show(leg, into, length);
  }

  #show(leg: Leg, into: Uint8Array, length: number): number {
    const { incoming } = this.#at(leg);
    const result = this.#readable(leg, length);
    for (let index = 0; index < result; index++) into[index] = incoming[index] as number;
    return result;
  }

  discard(leg: Leg, length: number): number {
    this.#at(leg).incoming.splice(0, length);
    return length;
  }

  /** How much a read gives. Short only when it empties the socket, as on a socket, or when something is urgent. */
  #readable(leg: Leg, length: number): number {
    const at = this.#at(leg);
    if (at.hostReset && at.resetTold) return 0;
    if (at.hostReset) {
      at.resetTold = true;
      return -ERRNO.ECONNRESET;
    }
    const there = Math.min(length, at.incoming.length);
    if (there > 0) return at.urgent ? this.#cut(there) : there;
    at.urgent = false;
    return at.hostEnded ? 0 : WOULD_BLOCK;
  }

  write(leg: Leg, from: Uint8Array, length: number): number {
    const at = this.#at(leg);
    at.resetTold ||= at.hostReset;
    if (at.hostReset || at.shut) return -ERRNO.EPIPE;
    const taken = Math.min(this.#cut(length), at.room);
    // A short write means that the next one would block: room comes with an edge.
    if (taken < length) {
      at.blocked = true;
      if (at.room > taken) this.makeRoom(leg, 0);
    }
    at.room -= taken;
    for (let index = 0; index < taken; index++) at.received.push(from[index] as number);
    return taken > 0 || length === 0 ? taken : WOULD_BLOCK;
  }

  /** As Linux's: it stops at urgent data, and looks then as if there were nothing, or the end when that has come. */
  openPipe(bytes: number): Pipe {
    let inside: number[] = [];
    this.pipes += 1;
    return {
      fill: (leg, length) => {
        if (inside.length > 0) throw new Error("the pipe is not empty");
        this.fills += 1;
        const at = this.#at(leg);
        if (at.urgent && !at.hostReset && at.incoming.length > 0 && randomBelow(this.#random, 2) === 0) {
          return at.hostEnded ? 0 : WOULD_BLOCK;
        }
        const there = this.#readable(leg, Math.min(length, bytes));
        if (there <= 0) return there;
        const taken = this.#cut(there);
        inside = at.incoming.splice(0, taken);
        return taken;
      },
      drain: (leg, length) => {
        const taken = this.write(leg, Uint8Array.from(inside), length);
        if (taken > 0) inside.splice(0, taken);
        return taken;
      },
      close: () => {
        this.pipes -= 1;
      },
    };
  }

  shutdownWrite(leg: Leg): number {
    const at = this.#at(leg);
    if (at.hostReset) return -ERRNO.EPIPE;
    at.shut = true;
    if (at.hostEnded) at.edges |= READY.hangUp;
    return 0;
  }

  reset(leg: Leg): void {
    this.#release(leg, "reset");
  }

  close(leg: Leg): void {
    this.#release(leg, "closed");
  }

  #release(leg: Leg, state: "closed" | "reset"): void {
    const at = this.#at(leg);
    if (at.state !== "open") throw new Error(`leg ${leg} is given back twice`);
    at.state = state;
  }

  #cut(length: number): number {
    if (this.#mostBytes === 0) return length;
    return Math.min(length, 1 + randomBelow(this.#random, this.#mostBytes));
  }

  #at(leg: Leg): MemoryLeg {
    const found = this.#legs[leg];
    if (found === undefined) throw new Error(`no leg ${leg}`);
    return found;
  }

  listen = this.#unused;
  info = this.#unused as () => ConnectionInfo;
  takeError(): number {
    return 0;
  }
  isEstablished(): boolean {
    return true;
  }
  synDscp(): undefined {
    return undefined;
  }

  isMultipath(): boolean {
    return true;
  }

  // For engines that know more of their hosts.
  accept(_listener: Leg): Leg {
    return this.#unused();
  }
  connect(_options: ConnectOptions): ConnectResult {
    return this.#unused();
  }
  localEndpoint(_leg: Leg): Endpoint | undefined {
    return undefined;
  }
  remoteEndpoint(_leg: Leg): Endpoint | undefined {
    return undefined;
  }

  tcpOptions(): [] {
    return [];
  }

  #unused(): never {
    throw new Error("not simulated");
  }
}
