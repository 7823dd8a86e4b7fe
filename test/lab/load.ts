/**
 * Many connections at once, cheaply: the clients' ends and the servers' in one epoll loop of this process, each in its
 * node. Every byte is checked. A client asks with a header of two 32-bit numbers (bytes that it sends after it, bytes
 * that it wants) and sends; the server reads all of it, answers, and ends; the client ends after it.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { raiseDescriptorLimit } from "@hybrid-access/core/platform/descriptor-limit";
import { EPOLL, Epoll } from "@hybrid-access/core/platform/epoll";
import { check, ERRNO, WOULD_BLOCK } from "@hybrid-access/core/platform/errno";
import * as socket from "@hybrid-access/core/platform/socket";
import { addressFamily } from "@hybrid-access/core/platform/socket-address";
import type { Lab } from "./lab.ts";
import { openPlainListener, pattern } from "./stream.ts";

const EVENTS_PER_WAIT = 512;
const WATCHED = EPOLL.in | EPOLL.out | EPOLL.peerClosed | EPOLL.edgeTriggered;
const LISTENER_TAG = 0x7fffffff;
const HEADER_BYTES = 8;
const CHUNK_BYTES = 256 * 1024;
/** The stream's byte at `offset` is `PERIOD[offset % PERIOD_BYTES]`; a prime, so that no buffer's size divides it. */
const PERIOD_BYTES = 65_521;

const stream = repeated(pattern(PERIOD_BYTES, 1), PERIOD_BYTES + CHUNK_BYTES);

function repeated(bytes: Buffer, length: number): Buffer {
  return Buffer.concat(Array.from({ length: Math.ceil(length / bytes.length) }, () => bytes)).subarray(0, length);
}

/** What one connection carries. */
export interface Exchange {
  readonly upBytes: number;
  readonly downBytes: number;
  /** The client resets once it has sent and received so many bytes in all. */
  readonly abortAfterBytes?: number;
}

/** How many connections ended in which way, as their clients saw it. */
export interface LoadResult {
  /** Every byte arrived, and both ends. */
  completed: number;
  aborted: number;
  /** Refused, reset, cut short, or with a wrong byte, and why. */
  readonly failures: string[];
}

interface End {
  readonly fd: number;
  readonly role: "client" | "server";
  upBytes: number;
  downBytes: number;
  readonly abortAfterBytes: number;
  sent: number;
  received: number;
  readonly header: Uint8Array;
  headerLength: number;
  shut: boolean;
  paused: boolean;
}

export class Load {
  readonly #lab: Lab;
  readonly #host: string;
  readonly #port: number;
  readonly #epoll = new Epoll(EVENTS_PER_WAIT);
  readonly #listener: number;
  readonly #ends = new Map<number, End>();
  readonly #buffer = Buffer.alloc(CHUNK_BYTES);
  readonly result: LoadResult = { completed: 0, aborted: 0, failures: [] };
  #clients = 0;

  /** Serves on `port` of the node "srv"; clients are on "lan". */
  constructor(lab: Lab, host: string, port: number) {
    raiseDescriptorLimit();
    this.#lab = lab;
    this.#host = host;
    this.#port = port;
    this.#listener = lab.inside("srv", () => openPlainListener(port));
    this.#epoll.add(this.#listener, EPOLL.in, LISTENER_TAG);
  }

  /** Clients that have not ended. */
  get clients(): number {
    return this.#clients;
  }

  /** Both kinds of ends that are open here. */
  get ends(): number {
    return this.#ends.size;
  }

  /** Begins connections. With `paused`, their clients read nothing until {@link resume}. */
  open(exchanges: readonly Exchange[], { paused = false } = {}): void {
    const address = ipAddress(this.#host);
    this.#lab.inside("lan", () => {
      for (const { upBytes, downBytes, abortAfterBytes = Number.POSITIVE_INFINITY } of exchanges) {
        const fd = check(socket.openStreamSocket(addressFamily(address), socket.IPPROTO_TCP), "socket");
        const result = socket.connect(fd, { address, port: this.#port });
        if (result < 0 && result !== -ERRNO.EINPROGRESS) check(result, "connect");
        const header = new Uint8Array(HEADER_BYTES);
        new DataView(header.buffer).setUint32(0, upBytes);
        new DataView(header.buffer).setUint32(4, downBytes);
        this.#add({ ...newEnd(fd, "client"), upBytes, downBytes, abortAfterBytes, header, paused });
        this.#clients += 1;
      }
    });
  }

  resume(): void {
    for (const end of this.#ends.values()) {
      if (!end.paused) continue;
      end.paused = false;
      this.#go(end);
    }
  }

  /** Runs the loop until `done`, or throws after `limitMs`. Other work of this process gets its turns. */
  async run(done: () => boolean | Promise<boolean>, limitMs: number): Promise<void> {
    const endMs = performance.now() + limitMs;
    while (!(await done())) {
      if (performance.now() > endMs) {
        throw new Error(`${this.#clients} clients and ${this.#ends.size - this.#clients} servers have not ended`);
      }
      for (let turns = 0; turns < 64; turns++) this.#turn(turns === 0 ? 1 : 0);
      await nextTurn();
    }
  }

  /** Carries all of it out, `atOnce` at a time, and waits for the last one's end at both sides. */
  async carry(exchanges: readonly Exchange[], atOnce: number, limitMs: number): Promise<LoadResult> {
    let next = 0;
    await this.run(() => {
      const room = Math.min(atOnce - this.#clients, exchanges.length - next);
      if (room > 0) this.open(exchanges.slice(next, next + room));
      next += Math.max(0, room);
      return next === exchanges.length && this.#ends.size === 0;
    }, limitMs);
    return this.result;
  }

  close(): void {
    for (const fd of this.#ends.keys()) socket.closeDescriptor(fd);
    socket.closeDescriptor(this.#listener);
    this.#epoll.close();
  }

  #turn(waitMs: number): void {
    const ready = this.#epoll.wait(waitMs);
    for (let index = 0; index < ready; index++) {
      const tag = this.#epoll.tag(index);
      if (tag === LISTENER_TAG) this.#accept();
      else {
        const end = this.#ends.get(tag);
        if (end !== undefined) this.#go(end);
      }
    }
  }

  #accept(): void {
    for (let count = 0; count < EVENTS_PER_WAIT; count++) {
      const fd = socket.accept(this.#listener);
      if (fd < 0) return;
      this.#add(newEnd(fd, "server"));
    }
  }

  #add(end: End): void {
    this.#ends.set(end.fd, end);
    check(this.#epoll.add(end.fd, WATCHED, end.fd), "epoll_ctl");
  }

  #go(end: End): void {
    if (end.role === "client") this.#goClient(end);
    else this.#goServer(end);
  }

  #goClient(end: End): void {
    const errno = socket.takeError(end.fd);
    if (errno !== 0) return this.#failClient(end, `errno ${errno}`);
    const sent = this.#send(end, end.upBytes);
    if (sent < 0) return this.#failClient(end, `sending: errno ${-sent}`);
    if (end.sent + end.received >= end.abortAfterBytes) return this.#abort(end);
    if (end.paused) return;
    const received = this.#receive(end, end.downBytes);
    if (end.sent + end.received >= end.abortAfterBytes) return this.#abort(end);
    if (typeof received === "string") return this.#failClient(end, received);
    if (received === WOULD_BLOCK) return;
    if (received < 0) return this.#failClient(end, `receiving: errno ${-received}`);
    if (end.received !== end.downBytes) return this.#failClient(end, `${end.received} of ${end.downBytes} bytes`);
    this.result.completed += 1;
    this.#end(end);
  }

  #goServer(end: End): void {
    while (end.headerLength < HEADER_BYTES) {
      const length = socket.receive(end.fd, this.#buffer, HEADER_BYTES - end.headerLength);
      if (length === WOULD_BLOCK) return;
      if (length <= 0) return this.#end(end);
      end.header.set(this.#buffer.subarray(0, length), end.headerLength);
      end.headerLength += length;
      end.upBytes = new DataView(end.header.buffer).getUint32(0);
      end.downBytes = new DataView(end.header.buffer).getUint32(4);
    }
    const received = this.#receive(end, end.upBytes);
    if (typeof received === "string") this.result.failures.push(`server: ${received}`);
    // Its client was to reset; one that was not tells so itself.
    if (typeof received === "string" || (received < 0 && received !== WOULD_BLOCK)) return this.#end(end);
    if (end.received < end.upBytes) return received === 0 ? this.#end(end) : undefined;
    const sent = this.#send(end, end.downBytes);
    if (sent < 0) return this.#end(end);
    if (end.sent < end.downBytes) return;
    if (!end.shut) socket.shutdownWrite(end.fd);
    end.shut = true;
    if (received === 0) this.#end(end);
  }

  /** Sends header and payload as far as they are taken. Minus errno, other than "would block", or 0. */
  #send(end: End, payloadBytes: number): number {
    while (end.role === "client" && end.headerLength < HEADER_BYTES) {
      const taken = socket.send(end.fd, end.header.subarray(end.headerLength), HEADER_BYTES - end.headerLength);
      if (taken < 0) return taken === WOULD_BLOCK ? 0 : taken;
      end.headerLength += taken;
    }
    while (end.sent < payloadBytes) {
      const at = end.sent % PERIOD_BYTES;
      const length = Math.min(CHUNK_BYTES, payloadBytes - end.sent, Math.max(1, end.abortAfterBytes - end.sent));
      const taken = socket.send(end.fd, stream.subarray(at, at + length), length);
      if (taken < 0) return taken === WOULD_BLOCK ? 0 : taken;
      end.sent += taken;
      if (end.sent >= end.abortAfterBytes) return 0;
    }
    return 0;
  }

  /** Receives what is there. 0 at the end of the stream, minus errno, or what is wrong with the bytes. */
  #receive(end: End, expectedBytes: number): number | string {
    for (;;) {
      const length = socket.receive(end.fd, this.#buffer, CHUNK_BYTES);
      if (length <= 0) return length;
      const at = end.received % PERIOD_BYTES;
      if (this.#buffer.compare(stream, at, at + length, 0, length) !== 0) return wrongBytes(end, this.#buffer, length);
      end.received += length;
      if (end.received > expectedBytes) return `${end.received} bytes of ${expectedBytes}`;
      if (end.sent + end.received >= end.abortAfterBytes) return length;
    }
  }

  #abort(end: End): void {
    this.result.aborted += 1;
    socket.setLinger(end.fd, 0);
    this.#end(end);
  }

  #failClient(end: End, why: string): void {
    this.result.failures.push(why);
    this.#end(end);
  }

  #end(end: End): void {
    this.#ends.delete(end.fd);
    socket.closeDescriptor(end.fd);
    if (end.role === "client") this.#clients -= 1;
  }
}

/** Where the bytes first differ, and from where in the stream those seem to be. */
function wrongBytes({ received }: End, buffer: Buffer, length: number): string {
  let wrong = 0;
  while (buffer[wrong] === stream[(received % PERIOD_BYTES) + wrong]) wrong += 1;
  const found = stream.indexOf(buffer.subarray(wrong, Math.min(wrong + 16, length)));
  return `wrong bytes at ${received + wrong} of ${received + length}, from ${found} modulo ${PERIOD_BYTES}`;
}

function newEnd(fd: number, role: End["role"]): End {
  return {
    fd,
    role,
    upBytes: 0,
    downBytes: 0,
    abortAfterBytes: Number.POSITIVE_INFINITY,
    sent: 0,
    received: 0,
    header: new Uint8Array(HEADER_BYTES),
    headerLength: 0,
    shut: false,
    paused: false,
  };
}
