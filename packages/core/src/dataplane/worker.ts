/** What every data-plane worker's thread does around its daemon's front: engine, relay, messages, loop. */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import type { Engine, Leg } from "../engine/engine.ts";
import type { EngineMessage, WorkerEngine } from "../engine/engine-control.ts";
import { ENGINES, type EngineName } from "../engine/engines.ts";
import { DescriptorLedger } from "../platform/descriptor-ledger.ts";
import { Epoll } from "../platform/epoll.ts";
import { Counters } from "./counters.ts";
import type { PipeUse } from "./pipe-pool.ts";
import { Relay } from "./relay.ts";
import { type Front, runWorkerLoop } from "./worker-loop.ts";
import type { WorkerEnvironment, WorkerReport } from "./worker-pool.ts";

const EVENTS_PER_WAIT = 512;

/** Bounds and timeouts of a worker's relay; part of both daemons' worker setup. */
export interface RelaySetup {
  readonly maxConnections: number;
  readonly bufferBytes: number;
  readonly pipes?: PipeUse;
  readonly pendingLimitBytes: number;
  readonly idleMs: number;
  readonly halfClosedMs: number;
}

/** What every worker's setup has, beside what its front wants. */
export interface WorkerSetup {
  readonly engine: EngineName;
  /** EngineControl.workerSetup. */
  readonly engineSetup?: unknown;
  readonly relay: RelaySetup;
}

/** What a front is built from. */
export interface WorkerContext {
  readonly engine: Engine;
  readonly relay: Relay;
  readonly counters: Counters;
  readonly index: number;
  readonly report: (report: WorkerReport) => void;
}

/** A front, with what only the worker around it calls. */
export interface WorkerFront extends Front {
  onTimer(slot: number): void;
  onClosed(slot: number): void;
}

/**
 * Runs the calling thread as a worker until it is told to stop. `build` makes the front; `listen` then opens the
 * listeners, so that nothing is accepted before the front is there.
 */
export function runWorker<Setup extends WorkerSetup>(
  build: (context: WorkerContext, setup: Setup) => WorkerFront,
  listen: (engine: Engine, setup: Setup) => readonly Leg[],
): void {
  const { environment, setup } = workerData as { environment: WorkerEnvironment; setup: Setup };
  const { maxConnections, ...bounds } = setup.relay;
  const epoll = new Epoll(EVENTS_PER_WAIT);
  const ledger = new DescriptorLedger(environment.ledgerMemory, environment.index);
  ledger.note(epoll.descriptor);
  const { index, inbox, wakeDescriptor } = environment;
  const report = (message: WorkerReport) => parentPort?.postMessage(message);
  const running = ENGINES[setup.engine].startWorker({
    epoll,
    ledger,
    setup: setup.engineSetup,
    worker: index,
    report: (message) => report({ ...message }),
  });
  // However the thread ends, by a defect too: peers must not wait for somebody who is gone.
  process.once("exit", () => running.close());
  const { engine, poller } = running;
  const counters = new Counters(environment.counterMemory, index);
  const relay: Relay = new Relay({
    ...bounds,
    engines: [engine, engine],
    capacity: maxConnections,
    counters,
    onClosed: (slot) => front.onClosed(slot),
    onTimer: (slot) => front.onTimer(slot),
  });
  const front = build({ engine, relay, counters, index, report }, setup);
  const listeners = listen(engine, setup);
  report({ type: "listening" });
  runWorkerLoop({
    poller,
    relay,
    front,
    engine,
    listeners,
    wakeDescriptor,
    receive: () => receiveForFront(inbox, running),
    onAccepted: () => counters.add("connectionsAccepted"),
    nowMs: () => performance.now(),
  });
}

/** The next message to the front or the loop; what is for the engine is given to it. */
function receiveForFront(inbox: MessagePort, engine: WorkerEngine): unknown {
  for (;;) {
    const message: unknown = receiveMessageOnPort(inbox)?.message;
    if (!isForEngine(message)) return message;
    engine.onMessage(message);
  }
}

function isForEngine(message: unknown): message is EngineMessage {
  return typeof message === "object" && message !== null && "type" in message && message.type === "engine";
}
