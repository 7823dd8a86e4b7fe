/** The relay over the kernel engine, on loopback and in this process: what only real sockets do. */
import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { Counters, createCounterMemory, sumCounters } from "@hybrid-access/core/dataplane/counters";
import { NEAR, Relay, type RelayOptions } from "@hybrid-access/core/dataplane/relay";
import type { Leg } from "@hybrid-access/core/engine/engine";
import { KernelEngine } from "@hybrid-access/core/engine/kernel/kernel-engine";
import { Epoll } from "@hybrid-access/core/platform/epoll";
import { check, WOULD_BLOCK } from "@hybrid-access/core/platform/errno";
import { libc } from "@hybrid-access/core/platform/libc";
import * as socket from "@hybrid-access/core/platform/socket";
import { AF_INET } from "@hybrid-access/core/platform/socket-address";
import { expect } from "chai";
import { hashOf, pattern } from "../../lab/stream.ts";

const LOOPBACK: IpAddress = ipAddress("127.0.0.1");
const MSG_OOB = 1;
const MSG_DONTWAIT = 0x40;
const LIMIT_MS = 5000;

class SocketBench {
  readonly #memory = createCounterMemory(1);
  readonly #epoll = new Epoll(64);
  readonly #opened: number[] = [];
  readonly #engine = new KernelEngine(this.#epoll);
  readonly relay: Relay;

  constructor(pipes: Partial<RelayOptions>) {
    this.relay = new Relay({
      engines: [this.#engine, this.#engine],
      capacity: 4,
      bufferBytes: 256 * 1024,
      pendingLimitBytes: 1 << 20,
      idleMs: 60_000,
      halfClosedMs: 60_000,
      counters: new Counters(this.#memory, 0),
      onClosed: () => {},
      onTimer: () => {},
      ...pipes,
    });
    // As a worker's loop does before anything else: deadlines count from now, not from the start of the process.
    this.relay.advance(performance.now());
  }

  get counters() {
    return sumCounters(this.#memory);
  }

  /** A connected pair of sockets: one for the test, the other one a leg of the relay. */
  #socketPair(protocol: "tcp" | "mptcp"): { readonly host: number; readonly leg: Leg } {
    const engine = this.#engine;
    const listener = engine.listen({ endpoint: { address: LOOPBACK, port: 0 }, protocol });
    const port = engine.localEndpoint(listener)?.port ?? 0;
    const number = protocol === "tcp" ? socket.IPPROTO_TCP : socket.IPPROTO_MPTCP;
    const host = check(socket.openStreamSocket(AF_INET, number), "socket");
    socket.connect(host, { address: LOOPBACK, port });
    const leg = this.#until(() => engine.accept(listener), "accept");
    socket.closeDescriptor(listener);
    this.#opened.push(host);
    return { host, leg };
  }

  connect(near: "tcp" | "mptcp" = "tcp", far: "tcp" | "mptcp" = "tcp"): readonly [near: number, far: number] {
    const left = this.#socketPair(near);
    const right = this.#socketPair(far);
    const slot = this.relay.open(left.leg);
    this.relay.setFar(slot, right.leg);
    this.relay.start(slot);
    return [left.host, right.host];
  }

  #until(attempt: () => number, what: string): number {
    const endMs = performance.now() + LIMIT_MS;
    for (;;) {
      const result = attempt();
      if (result !== WOULD_BLOCK) return check(result, what);
      if (performance.now() > endMs) throw new Error(`${what}: not in time`);
    }
  }

  turn(waitMs = 0): void {
    this.relay.advance(performance.now());
    const ready = this.#epoll.wait(this.relay.hasWork ? 0 : waitMs);
    for (let index = 0; index < ready; index++) this.relay.onReady(this.#epoll.tag(index), this.#epoll.bits(index));
    this.relay.runQueued();
    this.relay.recycle();
  }

  /** Turns the relay until the host has its peer's whole stream, and gives it. `act` is called before each turn. */
  receiveAll(host: number, act: () => void): Buffer {
    const chunks: Buffer[] = [];
    const buffer = new Uint8Array(1 << 20);
    let lastMs = performance.now();
    for (;;) {
      act();
      this.turn(1);
      const length = socket.receive(host, buffer, buffer.length);
      if (length === 0) return Buffer.concat(chunks);
      if (length > 0) {
        chunks.push(Buffer.from(buffer.subarray(0, length)));
        lastMs = performance.now();
      } else if (length !== WOULD_BLOCK) check(length, "receive");
      if (performance.now() - lastMs > LIMIT_MS) throw new Error("the stream stands still");
    }
  }

  close(): void {
    this.relay.abortAll();
    for (const fd of this.#opened) socket.closeDescriptor(fd);
    this.#epoll.close();
  }
}

/** Sends `bytes` piece by piece; `flagsOf` gives each piece's length and flags. Ends the stream after the last one. */
function sender(
  host: number,
  bytes: Uint8Array,
  pieceAt: (offset: number) => readonly [length: number, flags: number],
) {
  let offset = 0;
  let ended = false;
  return () => {
    while (offset < bytes.length) {
      const [length, flags] = pieceAt(offset);
      const piece = bytes.subarray(offset, offset + length);
      const taken = libc.send(host, piece, piece.length, MSG_DONTWAIT | flags);
      if (taken <= 0) return;
      offset += taken;
      if (taken < length) return;
    }
    if (!ended) socket.shutdownWrite(host);
    ended = true;
  };
}

describe("dataplane/relay on sockets", function () {
  this.timeout(20_000);
  describe("by copies", () => behaves({}));
  describe("through pipes", () => behaves({ pipes: { from: NEAR, most: 4 } }));
});

function behaves(pipes: Partial<RelayOptions>): void {
  let bench: SocketBench;

  beforeEach(() => {
    bench = new SocketBench(pipes);
  });
  afterEach(() => bench.close());

  const BYTES = 20_000_000;

  for (const [near, far] of [
    ["tcp", "tcp"],
    ["tcp", "mptcp"],
    ["mptcp", "tcp"],
  ] as const) {
    it(`${near} to ${far}: bulk arrives whole past a receiver that pauses`, () => {
      const [client, server] = bench.connect(near, far);
      const bytes = pattern(BYTES, 1);
      const send = sender(client, bytes, () => [1 << 20, 0]);
      // The receiver sleeps until the relay can do nothing more: both its held bytes and its peeking are used.
      for (let turns = 0; turns < 200; turns++) {
        send();
        bench.turn();
      }
      expect(hashOf(bench.receiveAll(server, send))).to.equal(hashOf(bytes));
      expect(bench.counters.pendingBytes).to.equal(0);
    });
  }

  it("does not stand still behind urgent data, where a read stops", () => {
    const [client, server] = bench.connect();
    const piece = pattern(1000, 1);
    libc.send(client, piece, piece.length, 0);
    libc.send(client, piece, 1, MSG_OOB);
    libc.send(client, piece, piece.length, 0);
    let received = 0;
    const buffer = new Uint8Array(4096);
    for (let turns = 0; turns < 100 && received < 2001; turns++) {
      bench.turn(1);
      received += Math.max(0, socket.receive(server, buffer, buffer.length));
    }
    expect(received).to.equal(2001);
  });

  it("loses and doubles no byte when some are urgent, in bulk and in small pieces", () => {
    for (const pieceBytes of [1, 1000, 300_000]) {
      const [client, server] = bench.connect();
      const bytes = pattern(Math.min(10_000_000, 10_000 * pieceBytes), pieceBytes);
      let urgent = false;
      const send = sender(client, bytes, () => {
        urgent = !urgent;
        return urgent ? [pieceBytes, 0] : [1, MSG_OOB];
      });
      const received = bench.receiveAll(server, send);
      expect(received.length).to.equal(bytes.length);
      expect(hashOf(received)).to.equal(hashOf(bytes));
    }
  });
}
