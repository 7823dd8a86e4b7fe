import { Counters, createCounterMemory, sumCounters } from "@hybrid-access/core/dataplane/counters";
import { FAR, NEAR, READS_PER_TURN, Relay, type RelayOptions } from "@hybrid-access/core/dataplane/relay";
import { READY } from "@hybrid-access/core/engine/engine";
import { expect } from "chai";
import fc from "fast-check";
import { MemoryEngine, type MemoryEngineOptions } from "../../support/memory-engine.ts";

const IDLE_MS = 60_000;
const HALF_CLOSED_MS = 10_000;
const TICK_MS = 20;
/** Far more rounds than any test needs: the relay spins. */
const MOST_ROUNDS = 100_000;

/** A relay over an engine in memory, and the hosts at both sides. */
class Bench {
  readonly engine: MemoryEngine;
  readonly relay: Relay;
  readonly #memory = createCounterMemory(1);
  readonly closed: number[] = [];

  constructor(options: Partial<RelayOptions> & { engine?: MemoryEngineOptions } = {}) {
    const { engine, ...relay } = options;
    this.engine = new MemoryEngine(engine);
    this.relay = new Relay({
      engines: [this.engine, this.engine],
      capacity: 4,
      bufferBytes: 64,
      pendingLimitBytes: 1 << 20,
      idleMs: IDLE_MS,
      halfClosedMs: HALF_CLOSED_MS,
      counters: new Counters(this.#memory, 0),
      onClosed: (slot) => this.closed.push(slot),
      onTimer: () => {},
      ...relay,
    });
  }

  get counters() {
    return sumCounters(this.#memory);
  }

  /** Two hosts and the relay between them; each takes `room` bytes. */
  connect(room: number): readonly [near: number, far: number] {
    const near = this.engine.create(room);
    const far = this.engine.create(room);
    const slot = this.relay.open(near);
    this.relay.setFar(slot, far);
    this.relay.start(slot);
    return [near, far];
  }

  /** One round of a worker's loop. True when something happened. */
  round(): boolean {
    const events = this.engine.deliver((tag, bits) => this.relay.onReady(tag, bits));
    const work = this.relay.hasWork;
    this.relay.runQueued();
    this.relay.recycle();
    return events || work;
  }

  /** Rounds until nothing happens any more. */
  settle(): void {
    for (let round = 0; this.round(); round++) if (round > MOST_ROUNDS) throw new Error("the relay spins");
  }
}

function bytesFrom(start: number, length: number): number[] {
  return Array.from({ length }, (_, index) => (start + index) & 0xff);
}

type Action =
  | { readonly do: "send" | "urgent" | "room"; readonly side: 0 | 1; readonly bytes: number }
  | { readonly do: "end" | "reset"; readonly side: 0 | 1 };

function actions(mostBytes: number): fc.Arbitrary<Action[]> {
  const side = fc.constantFrom(0 as const, 1 as const);
  const bytes = fc.integer({ min: 0, max: mostBytes });
  return fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant("send" as const), side, bytes }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("urgent" as const), side, bytes }) },
      { weight: 6, arbitrary: fc.record({ do: fc.constant("room" as const), side, bytes }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("end" as const), side }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("reset" as const), side }) },
    ),
    { maxLength: 40 },
  );
}

/** Plays the actions, one round after each, lets everything flow, and checks what the hosts have seen. */
function play(bench: Bench, steps: readonly Action[]): void {
  const legs = bench.connect(0);
  const sent: [number[], number[]] = [[], []];
  const ended = [false, false];
  let reset = false;
  for (const step of steps) {
    const leg = legs[step.side];
    if ((step.do === "send" || step.do === "urgent") && !ended[step.side] && !reset && !bench.engine.isReleased(leg)) {
      const bytes = bytesFrom(sent[step.side].length * 7 + step.side, step.bytes);
      for (const byte of bytes) sent[step.side].push(byte);
      bench.engine.send(leg, bytes, step.do === "urgent");
    } else if (step.do === "room") {
      bench.engine.makeRoom(leg, step.bytes);
    } else if (step.do === "end" && !reset && !ended[step.side]) {
      ended[step.side] = true;
      bench.engine.end(leg);
    } else if (step.do === "reset" && !bench.engine.isReleased(leg)) {
      reset = true;
      bench.engine.abort(leg);
    }
    bench.round();
  }
  for (const leg of legs) bench.engine.makeRoom(leg, Number.MAX_SAFE_INTEGER / 2);
  bench.settle();
  checkHosts(bench, legs, sent, ended, reset);
}

function checkHosts(
  bench: Bench,
  legs: readonly [number, number],
  sent: readonly [readonly number[], readonly number[]],
  ended: readonly boolean[],
  reset: boolean,
): void {
  const hosts = legs.map((leg) => bench.engine.host(leg));
  for (const side of [0, 1] as const) {
    const host = hosts[1 - side];
    const received = host?.received ?? [];
    expect(received).to.deep.equal(sent[side].slice(0, received.length));
    if (!reset) expect(received.length).to.equal(sent[side].length);
    // What looks complete is complete.
    if (host?.end === "end") {
      expect(ended[side]).to.equal(true);
      expect(received.length).to.equal(sent[side].length);
    }
    if (!reset) expect(host?.end).to.equal(ended[side] ? "end" : "open");
  }
  const over = reset || (ended[0] && ended[1]);
  if (reset) expect(hosts.map(({ end }) => end)).to.deep.equal(["reset", "reset"]);
  expect(bench.counters.connectionsActive).to.equal(over ? 0 : 1);
  expect(bench.counters.pendingBytes).to.equal(0);
  expect(bench.closed.length).to.equal(over ? 1 : 0);
}

describe("dataplane/relay", () => {
  it("delivers every byte once and in order and passes ends exactly, or resets both sides", () => {
    fc.assert(
      fc.property(
        actions(300),
        fc.integer(),
        fc.integer({ min: 0, max: 100 }),
        fc.constantFrom(0, 1000),
        fc.constantFrom({}, { pipes: { from: NEAR, most: 1 } }, { pipes: { from: FAR, most: 1 } }),
        (steps, seed, mostBytes, pendingLimitBytes, pipes) =>
          play(new Bench({ engine: { seed, mostBytes }, pendingLimitBytes, ...pipes }), steps),
      ),
      { numRuns: 3000 },
    );
  });

  it("passes on an end that came before the start", () => {
    const bench = new Bench();
    const near = bench.engine.create(1000);
    const far = bench.engine.create(1000);
    const slot = bench.relay.open(near);
    bench.engine.send(near, bytesFrom(0, 100));
    bench.engine.end(near);
    bench.relay.setFar(slot, far);
    bench.settle();
    bench.relay.start(slot);
    bench.settle();
    expect(bench.engine.host(far)).to.deep.equal({ received: bytesFrom(0, 100), end: "end" });
  });

  it("reads no more, at its start, from an end that a front has read empty; but what is left, and passes an end", () => {
    for (const { left, ends } of [
      { left: 0, ends: false },
      { left: 5, ends: false },
      { left: 0, ends: true },
    ]) {
      const bench = new Bench();
      const near = bench.engine.create(1000);
      const far = bench.engine.create(1000);
      const slot = bench.relay.open(near);
      bench.engine.send(near, bytesFrom(0, 20 + left));
      if (ends) bench.engine.end(near);
      bench.relay.setFar(slot, far);
      bench.settle();
      const room = left > 0 ? 20 : 64;
      expect(bench.relay.read(slot, NEAR, new Uint8Array(room), room)).to.equal(20);
      expect(bench.relay.isReadable(slot, NEAR)).to.equal(left > 0);
      bench.relay.start(slot);
      bench.settle();
      expect(bench.engine.host(far)).to.deep.equal({ received: bytesFrom(20, left), end: ends ? "end" : "open" });
      expect(bench.engine.reads).to.equal(left > 0 ? 2 : 1);
    }
  });

  it("takes no reset for an end, though it was told to a front's write and not to a read", () => {
    const bench = new Bench();
    const near = bench.engine.create(1000);
    const far = bench.engine.create(1000);
    const slot = bench.relay.open(near);
    bench.relay.setFar(slot, far);
    bench.settle();
    bench.engine.abort(far);
    bench.settle();
    const bytes = Uint8Array.from(bytesFrom(0, 20));
    expect(bench.relay.write(slot, FAR, bytes)).to.be.lessThan(0);
    bench.relay.preload(slot, NEAR, bytes);
    bench.relay.start(slot);
    bench.settle();
    expect(bench.engine.host(near).end).to.equal("reset");
  });

  it("tells a front's side when it takes more, after a write that was not taken whole", () => {
    const bench = new Bench();
    const near = bench.engine.create(10);
    const far = bench.engine.create(1000);
    const slot = bench.relay.open(near);
    bench.relay.setFar(slot, far);
    bench.settle();
    const bytes = Uint8Array.from(bytesFrom(0, 20));
    const taken = bench.relay.write(slot, NEAR, bytes);
    expect(taken).to.equal(10);
    bench.relay.preload(slot, FAR, bytes.slice(taken));
    bench.relay.start(slot);
    bench.settle();
    bench.engine.makeRoom(near, 100);
    bench.settle();
    expect(bench.engine.host(near).received).to.deep.equal(bytesFrom(0, 20));
  });

  it("peeks only while a receiver lags behind", () => {
    const bench = new Bench();
    const [near, far] = bench.connect(10);
    bench.engine.send(near, bytesFrom(0, 200));
    bench.settle();
    bench.engine.makeRoom(far, 70);
    bench.settle();
    expect(bench.engine.peeks).to.be.above(0);
    bench.engine.makeRoom(far, 100_000);
    bench.settle();
    const whileItLagged = bench.engine.peeks;
    bench.engine.send(near, bytesFrom(200, 10_000));
    bench.settle();
    expect(bench.engine.peeks).to.equal(whileItLagged);
    expect(bench.engine.host(far).received).to.deep.equal(bytesFrom(0, 10_200));
  });

  it("gives a connection that always has more its turn, and no more", () => {
    const bench = new Bench();
    const [near, far] = bench.connect(10_000_000);
    const [otherNear, otherFar] = bench.connect(1000);
    bench.engine.send(near, bytesFrom(0, 10_000));
    bench.engine.send(otherNear, [1]);
    bench.round();
    expect(bench.engine.host(otherFar).received).to.deep.equal([1]);
    expect(bench.engine.host(far).received.length).to.be.lessThan(10_000);
  });

  it("has an end in its run queue once, however often it is told of it, and whoever has its slot by then", () => {
    const bench = new Bench({ capacity: 1 });
    const turns = () => {
      const before = bench.engine.reads;
      bench.relay.runQueued();
      return (bench.engine.reads - before) / READS_PER_TURN;
    };
    const crowd = () => {
      const legs = bench.connect(10_000_000);
      for (const leg of legs) bench.engine.send(leg, bytesFrom(0, 100_000));
      for (let count = 0; count < 100; count++)
        for (const end of [0, 1]) bench.relay.onReady(end, READY.read | READY.write);
    };
    crowd();
    expect(turns()).to.equal(2);
    bench.relay.abort(0);
    bench.relay.recycle();
    crowd();
    expect(turns()).to.equal(2);
    bench.relay.abort(0);
    expect(turns()).to.equal(0);
    expect(bench.relay.hasWork).to.equal(false);
  });
});

describe("dataplane/relay, bulk data", () => {
  const BUFFER_BYTES = 64;
  const pipes = { from: NEAR, most: 2 } as const;

  it("goes through one pipe from the side that has pipes, as soon as a read shows it, and by copies from the other", () => {
    const bench = new Bench({ bufferBytes: BUFFER_BYTES, pipes });
    const [near, far] = bench.connect(100_000);
    bench.engine.send(near, bytesFrom(0, 64_000));
    bench.engine.send(far, bytesFrom(0, 64_000));
    bench.settle();
    expect(bench.engine.fills).to.equal(1000);
    expect(bench.engine.pipes).to.equal(1);
    expect(bench.engine.host(far).received).to.deep.equal(bytesFrom(0, 64_000));
    expect(bench.engine.host(near).received).to.deep.equal(bytesFrom(0, 64_000));
    expect(bench.counters.pendingBytes).to.equal(0);
  });

  it("goes by copies again once a pipe gets little, and small data never goes through one", () => {
    const bench = new Bench({ bufferBytes: BUFFER_BYTES, pipes });
    const [near, far] = bench.connect(100_000);
    bench.engine.send(near, bytesFrom(0, 128 + 7));
    bench.settle();
    const { fills } = bench.engine;
    for (let message = 0; message < 100; message++) {
      bench.engine.send(near, bytesFrom(135 + 15 * message, 15));
      bench.settle();
    }
    expect(fills).to.be.above(0);
    expect(bench.engine.fills).to.equal(fills);
    expect(bench.engine.host(far).received).to.deep.equal(bytesFrom(0, 135 + 1500));
  });

  it("has no more pipes than allowed: receivers that stop keep theirs, and who finds none copies", () => {
    const bench = new Bench({ capacity: 5, bufferBytes: BUFFER_BYTES, pipes });
    const stopped = Array.from({ length: 4 }, () => bench.connect(100));
    for (const [near] of stopped) bench.engine.send(near, bytesFrom(near, 1000));
    bench.settle();
    expect(bench.engine.pipes).to.equal(2);
    expect(bench.counters.pendingBytes).to.equal(4 * BUFFER_BYTES);
    const [near, far] = bench.connect(100_000);
    const { fills } = bench.engine;
    bench.engine.send(near, bytesFrom(0, 10_000));
    bench.settle();
    expect(bench.engine.fills).to.equal(fills);
    expect(bench.engine.host(far).received).to.deep.equal(bytesFrom(0, 10_000));
    for (const pair of stopped) bench.engine.makeRoom(pair[1], 1000);
    bench.settle();
    for (const pair of stopped) expect(bench.engine.host(pair[1]).received).to.deep.equal(bytesFrom(pair[0], 1000));
    expect(bench.counters.pendingBytes).to.equal(0);
    expect(bench.engine.pipes).to.equal(2);
  });

  it("leaves four idle pipes behind, whatever it took", () => {
    const bench = new Bench({ capacity: 10, bufferBytes: BUFFER_BYTES, pipes: { from: NEAR, most: 10 } });
    const stopped = Array.from({ length: 10 }, () => bench.connect(100));
    for (const [near] of stopped) bench.engine.send(near, bytesFrom(near, 1000));
    bench.settle();
    expect(bench.engine.pipes).to.equal(10);
    for (const pair of stopped) bench.engine.makeRoom(pair[1], 1000);
    bench.settle();
    expect(bench.engine.pipes).to.equal(4);
  });

  it("is lost with its pipe when its connection is reset, and another pipe may take that one's place", () => {
    const bench = new Bench({ bufferBytes: BUFFER_BYTES, pipes: { from: NEAR, most: 1 } });
    const [near] = bench.connect(100);
    bench.engine.send(near, bytesFrom(0, 1000));
    bench.settle();
    expect(bench.engine.pipes).to.equal(1);
    bench.engine.abort(near);
    bench.settle();
    expect(bench.engine.pipes).to.equal(0);
    expect(bench.counters.pendingBytes).to.equal(0);
    const [next, far] = bench.connect(100_000);
    bench.engine.send(next, bytesFrom(0, 1000));
    bench.settle();
    expect(bench.engine.pipes).to.equal(1);
    expect(bench.engine.host(far).received).to.deep.equal(bytesFrom(0, 1000));
  });
});

describe("dataplane/relay, receivers that stop reading", () => {
  const CONNECTIONS = 1000;
  const BYTES = 500;
  const LIMIT_BYTES = 2000;
  const BUFFER_BYTES = 64;

  it("hold the limit and one buffer, leave other connections their pace, and get everything when they go on", () => {
    const bench = new Bench({ capacity: CONNECTIONS + 1, bufferBytes: BUFFER_BYTES, pendingLimitBytes: LIMIT_BYTES });
    const stopped = Array.from({ length: CONNECTIONS }, () => bench.connect(10));
    for (const [near] of stopped) bench.engine.send(near, bytesFrom(near, BYTES));
    bench.settle();
    expect(bench.counters.pendingBytes).to.be.within(LIMIT_BYTES - BUFFER_BYTES, LIMIT_BYTES + BUFFER_BYTES);

    const [near, far] = bench.connect(100_000);
    bench.engine.send(near, bytesFrom(0, 50_000));
    bench.settle();
    expect(bench.engine.host(far).received).to.deep.equal(bytesFrom(0, 50_000));

    for (const pair of stopped) {
      bench.engine.makeRoom(pair[1], 100);
      bench.engine.end(pair[0]);
      bench.round();
    }
    bench.settle();
    expect(bench.counters.pendingBytes).to.be.at.most(LIMIT_BYTES + BUFFER_BYTES);
    for (const pair of stopped) bench.engine.makeRoom(pair[1], BYTES);
    bench.settle();
    expect(bench.counters.pendingBytes).to.equal(0);
    for (const pair of stopped) {
      expect(bench.engine.host(pair[1])).to.deep.equal({ received: bytesFrom(pair[0], BYTES), end: "end" });
    }
  });

  it("hold one buffer each at most, whatever they are sent", () => {
    const bench = new Bench({ bufferBytes: BUFFER_BYTES });
    const [near, far] = bench.connect(1);
    for (let round = 0; round < 100; round++) {
      bench.engine.send(near, bytesFrom(round, 1000));
      bench.engine.makeRoom(far, 100);
      bench.settle();
      expect(bench.counters.pendingBytes).to.be.at.most(BUFFER_BYTES);
    }
  });
});

describe("dataplane/relay, timers", () => {
  function atMs(bench: Bench, nowMs: number): void {
    bench.relay.advance(nowMs);
    bench.settle();
  }

  it("resets a connection that is idle for its time, not earlier, and a tick later at most", () => {
    const bench = new Bench();
    const [near] = bench.connect(1000);
    bench.settle();
    atMs(bench, IDLE_MS - 1);
    expect(bench.engine.isReleased(near)).to.equal(false);
    atMs(bench, IDLE_MS + TICK_MS);
    expect(bench.engine.host(near).end).to.equal("reset");
    expect(bench.counters.connectionsTimedOut).to.equal(1);
  });

  it("counts from the last byte that moved, in either direction and out of what was held", () => {
    const bench = new Bench();
    const [near, far] = bench.connect(10);
    bench.engine.send(far, bytesFrom(0, 50));
    bench.settle();
    atMs(bench, 50_000);
    bench.engine.makeRoom(near, 10);
    bench.settle();
    atMs(bench, 50_000 + IDLE_MS - 1);
    expect(bench.engine.isReleased(near)).to.equal(false);
    atMs(bench, 50_000 + IDLE_MS + TICK_MS);
    expect(bench.engine.isReleased(near)).to.equal(true);
  });

  it("resets a half-closed connection after the time for those, exactly", () => {
    const bench = new Bench();
    const [near, far] = bench.connect(1000);
    bench.settle();
    atMs(bench, 1000);
    bench.engine.end(near);
    bench.settle();
    atMs(bench, 1000 + HALF_CLOSED_MS - 1);
    expect(bench.engine.host(far).end).to.equal("end");
    bench.engine.send(far, [1]);
    bench.settle();
    atMs(bench, 1000 + 2 * HALF_CLOSED_MS - 2);
    expect(bench.engine.isReleased(near)).to.equal(false);
    atMs(bench, 1000 + 2 * HALF_CLOSED_MS + TICK_MS);
    expect(bench.engine.host(near).end).to.equal("reset");
  });

  it("finds what came without an event, within twice the time that it has been silent", () => {
    const bench = new Bench();
    const [near, far] = bench.connect(1000);
    bench.settle();
    atMs(bench, 3000);
    bench.engine.send(far, [1, 2]);
    bench.engine.deliver(() => {});
    bench.settle();
    expect(bench.engine.host(near).received).to.deep.equal([]);
    atMs(bench, 6000 + TICK_MS);
    expect(bench.engine.host(near).received).to.deep.equal([1, 2]);
  });

  it("looks at a silent connection ever less often", () => {
    const bench = new Bench();
    bench.connect(1000);
    bench.settle();
    const before = bench.engine.reads + bench.engine.peeks;
    for (let nowMs = 0; nowMs < IDLE_MS; nowMs += TICK_MS) atMs(bench, nowMs);
    // After 0.5, 1, 2 ... 32 s, at both ends.
    expect(bench.engine.reads + bench.engine.peeks - before).to.be.within(12, 16);
  });

  it("three hours idle are survived when a byte comes every two", () => {
    const idleMs = 124 * 60_000;
    const bench = new Bench({ idleMs });
    const [near, far] = bench.connect(1000);
    for (let hour = 2; hour <= 6; hour += 2) {
      atMs(bench, hour * 3_600_000);
      bench.engine.send(near, [hour]);
      bench.settle();
    }
    expect(bench.engine.host(far)).to.deep.equal({ received: [2, 4, 6], end: "open" });
  });
});
