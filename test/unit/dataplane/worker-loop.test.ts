import { Counters, createCounterMemory } from "@hybrid-access/core/dataplane/counters";
import { Relay } from "@hybrid-access/core/dataplane/relay";
import { ACCEPT_PAUSE_MS, runWorkerLoop, STOP } from "@hybrid-access/core/dataplane/worker-loop";
import { type Leg, READY, WOULD_BLOCK } from "@hybrid-access/core/engine/engine";
import { openEventDescriptor, type Poller } from "@hybrid-access/core/platform/epoll";
import { ERRNO } from "@hybrid-access/core/platform/errno";
import { closeDescriptor } from "@hybrid-access/core/platform/socket";
import { expect } from "chai";
import { MemoryEngine } from "../../support/memory-engine.ts";

const LISTENERS: readonly Leg[] = [1000, 1001];

/** Connections wait at its listeners. */
class CrowdedEngine extends MemoryEngine {
  readonly listenerTags = new Map<Leg, number>();
  readonly waiting = new Map<Leg, number>();
  readonly accepted = new Map<Leg, number>(LISTENERS.map((listener) => [listener, 0]));
  /** What the next attempts to accept give, as positive errnos. */
  readonly failures: number[] = [];

  override watch(leg: Leg, tag: number, writes: boolean): number {
    if (!LISTENERS.includes(leg)) return super.watch(leg, tag, writes);
    this.listenerTags.set(leg, tag);
    return 0;
  }

  override accept(listener: Leg): Leg {
    const failure = this.failures.shift();
    if (failure !== undefined) return -failure;
    const waiting = this.waiting.get(listener) ?? 0;
    if (waiting === 0) return WOULD_BLOCK;
    this.waiting.set(listener, waiting - 1);
    this.accepted.set(listener, (this.accepted.get(listener) ?? 0) + 1);
    return this.create(1);
  }

  get counts(): number[] {
    return LISTENERS.map((listener) => this.accepted.get(listener) ?? 0);
  }
}

/** What one wait of the loop brings: the listeners that are ready, and how much later it is. */
interface Turn {
  readonly ready?: readonly Leg[];
  readonly tookMs?: number;
}

/** Runs the loop for so many turns; gives what each of them has left accepted, and how long the next would sleep. */
function run(engine: CrowdedEngine, turns: readonly Turn[], capacity = 1000) {
  const wakeDescriptor = openEventDescriptor();
  const tags: number[] = [];
  const seen: { counts: number[]; sleepMs: number }[] = [];
  let [next, nowMs, wakeTag] = [0, 0, 0];
  const poller: Poller = {
    add(_fd, _events, tag) {
      wakeTag = tag;
      return 0;
    },
    wait(sleepMs) {
      if (next > 0) seen.push({ counts: engine.counts, sleepMs });
      const turn = turns[next++];
      nowMs += turn?.tookMs ?? 0;
      const ready = turn === undefined ? [wakeTag] : (turn.ready ?? []).map((leg) => engine.listenerTags.get(leg) ?? 0);
      tags.splice(0, tags.length, ...ready);
      return tags.length;
    },
    tag: (index) => tags[index] ?? 0,
    bits: () => READY.read,
  };
  const counters = new Counters(createCounterMemory(1), 0);
  const times = { idleMs: 1e9, halfClosedMs: 1e9 };
  const relay = new Relay({
    engines: [engine, engine],
    capacity,
    bufferBytes: 64,
    pendingLimitBytes: 64,
    ...times,
    counters,
    onClosed: () => {},
    onTimer: () => {},
  });
  const front = { onAccept: () => {}, onReady: () => {}, onMessage: () => {} };
  const loop = { poller, relay, front, engine, listeners: LISTENERS, wakeDescriptor };
  runWorkerLoop({ ...loop, receive: () => STOP, onAccepted: () => {}, nowMs: () => nowMs });
  closeDescriptor(wakeDescriptor);
  return seen;
}

describe("dataplane/worker-loop", () => {
  let engine: CrowdedEngine;
  const [first = 0, second = 0] = LISTENERS;

  beforeEach(() => {
    engine = new CrowdedEngine();
    engine.waiting.set(first, 150).set(second, 1);
  });

  it("accepts 64 connections of a listener in a turn, so that others get theirs, and the rest without a further edge", () => {
    const seen = run(engine, [{ ready: LISTENERS }, {}, {}, {}]);
    expect(seen.map(({ counts }) => counts)).to.deep.equal([
      [64, 1],
      [128, 1],
      [150, 1],
      [150, 1],
    ]);
    expect(seen.map(({ sleepMs }) => sleepMs)).to.deep.equal([0, 0, -1, -1]);
  });

  for (const name of ["EMFILE", "ENFILE", "ENOBUFS"] as const) {
    it(`rests for 100 ms after ${name}, and accepts then without a further edge`, () => {
      engine.failures.push(ERRNO[name], ERRNO[name]);
      const turns = [{ ready: LISTENERS }, { tookMs: ACCEPT_PAUSE_MS - 1, ready: LISTENERS }, { tookMs: 1 }];
      const seen = run(engine, turns);
      expect(seen).to.deep.equal([
        { counts: [0, 0], sleepMs: 100 },
        { counts: [0, 0], sleepMs: 1 },
        { counts: [64, 1], sleepMs: 0 },
      ]);
    });
  }

  it("goes on at once after a connection that was gone before it was accepted", () => {
    engine.failures.push(ERRNO.ECONNABORTED);
    expect(run(engine, [{ ready: LISTENERS }])).to.deep.equal([{ counts: [63, 1], sleepMs: 0 }]);
  });

  it("accepts no more connections than it has slots, and sleeps", () => {
    expect(run(engine, [{ ready: LISTENERS }, {}], 70)).to.deep.equal([
      { counts: [64, 1], sleepMs: 0 },
      { counts: [69, 1], sleepMs: -1 },
    ]);
  });
});
