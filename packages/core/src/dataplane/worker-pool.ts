/** The control plane's view of the data-plane workers: starts them, talks to them, replaces one that dies. */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { AccessError } from "../base/error.ts";
import type { EngineMessage } from "../engine/engine-control.ts";
import { DescriptorLedger } from "../platform/descriptor-ledger.ts";
import { openEventDescriptor, signalEvent } from "../platform/epoll.ts";
import { WORKER_YOUNG_GENERATION_MB } from "../platform/heap.ts";
import { closeDescriptor } from "../platform/socket.ts";
import { type CounterName, Counters, createCounterMemory, sumCounters } from "./counters.ts";
import { CLOSE_LISTENERS, STOP } from "./worker-loop.ts";

/** What every worker gets besides its daemon's own setup. */
export interface WorkerEnvironment {
  readonly index: number;
  readonly wakeDescriptor: number;
  readonly inbox: MessagePort;
  readonly counterMemory: SharedArrayBuffer;
  readonly ledgerMemory: SharedArrayBuffer;
}

/** What a worker says to the control plane: "listening", or what its front reports. */
export interface WorkerReport {
  readonly type: string;
  readonly [detail: string]: unknown;
}

const IDLE_CHECK_MS = 100;

interface Member {
  readonly outbox: MessagePort;
  readonly wakeDescriptor: number;
  readonly exited: Promise<void>;
  listening: boolean;
}

export interface WorkerPoolOptions {
  /** The module a worker runs; it reports { type: "listening" } once it accepts. */
  readonly entry: URL;
  readonly workers: number;
  /** Handed to each worker beside its {@link WorkerEnvironment}; asked again for one that replaces another. */
  readonly setup: () => unknown;
  readonly onReport: (report: WorkerReport) => void;
  /** A worker ended by itself: `error` says why. Its connections are reset by then; another takes its place. */
  readonly onDeath: (index: number, error: AccessError) => void;
}

/** A worker that lived shorter is replaced only after {@link REPLACEMENT_PAUSE_MS}: one that cannot live must not spin. */
const SHORT_LIFE_MS = 10_000;
const REPLACEMENT_PAUSE_MS = 1000;

export class WorkerPool {
  /** By index; undefined while one that died has not been replaced. */
  readonly #members: (Member | undefined)[] = [];
  readonly #replacements = new Set<NodeJS.Timeout>();
  readonly #counterMemory: SharedArrayBuffer;
  readonly #ledgerMemory: SharedArrayBuffer;
  readonly #options: WorkerPoolOptions;
  #deaths = 0;
  #draining = false;
  #stopping = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#counterMemory = createCounterMemory(options.workers);
    this.#ledgerMemory = DescriptorLedger.createMemory();
  }

  /** Starts the workers and waits until every one accepts connections; rejects with the error of one that cannot. */
  async start(): Promise<void> {
    await Promise.all(
      Array.from(
        { length: this.#options.workers },
        (_, index) =>
          new Promise<void>((resolve, reject) => {
            this.#startWorker(index, resolve, reject);
          }),
      ),
    );
  }

  /** `onListening` is called once it accepts; `onFailed` when it ended before that. */
  #startWorker(index: number, onListening: () => void, onFailed: (error: Error) => void): void {
    const { port1: outbox, port2: inbox } = new MessageChannel();
    const environment: WorkerEnvironment = {
      index,
      wakeDescriptor: openEventDescriptor(),
      inbox,
      counterMemory: this.#counterMemory,
      ledgerMemory: this.#ledgerMemory,
    };
    const worker = new Worker(this.#options.entry, {
      workerData: { environment, setup: this.#options.setup() },
      transferList: [inbox],
      resourceLimits: { maxYoungGenerationSizeMb: WORKER_YOUNG_GENERATION_MB },
    });
    outbox.unref();
    const startedMs = performance.now();
    let error: Error | undefined;
    worker.on("message", (report: WorkerReport) => {
      if (report.type !== "listening") return this.#options.onReport(report);
      member.listening = true;
      onListening();
    });
    worker.on("error", (cause: Error) => {
      error = cause;
    });
    const exited = new Promise<void>((resolve) => {
      worker.once("exit", (code) => {
        this.#bury(index);
        const cause = error ?? new Error(`it exited with ${code}`);
        if (!member.listening) onFailed(cause);
        else if (!this.#stopping) this.#replace(index, cause, performance.now() - startedMs);
        resolve();
      });
    });
    const member: Member = { outbox, wakeDescriptor: environment.wakeDescriptor, exited, listening: false };
    this.#members[index] = member;
  }

  /** Closes what a worker has left open: its peers must not wait for somebody who is gone. */
  #bury(index: number): void {
    const member = this.#members[index];
    this.#members[index] = undefined;
    member?.outbox.close();
    if (member !== undefined) closeDescriptor(member.wakeDescriptor);
    new DescriptorLedger(this.#ledgerMemory, index).closeAll();
    new Counters(this.#counterMemory, index).clearGauges();
  }

  #replace(index: number, cause: Error, livedMs: number): void {
    this.#deaths += 1;
    this.#options.onDeath(index, workerDeath(index, cause));
    if (this.#draining) return;
    const timer = setTimeout(
      () => {
        this.#replacements.delete(timer);
        this.#startWorker(
          index,
          () => {},
          (error) => this.#replace(index, error, 0),
        );
      },
      livedMs < SHORT_LIFE_MS ? REPLACEMENT_PAUSE_MS : 0,
    );
    this.#replacements.add(timer);
  }

  /** Sends a message to every worker. A worker in its loop hears it through its wake descriptor. */
  broadcast(message: unknown): void {
    for (const index of this.#members.keys()) this.tell(index, message);
  }

  /** Sends a message to one worker, if it is there. */
  tell(index: number, message: unknown): void {
    const member = this.#members[index];
    if (member === undefined) return;
    member.outbox.postMessage(message);
    signalEvent(member.wakeDescriptor);
  }

  /** How many workers accept connections, or did before the drain, and how many have died since the start. */
  status(): { readonly workersListening: number; readonly workersDied: number } {
    const listening = this.#members.filter((member) => member?.listening);
    return { workersListening: listening.length, workersDied: this.#deaths };
  }

  counters(): Record<CounterName, number> {
    return sumCounters(this.#counterMemory);
  }

  /** Accepts no more; what is open goes on. */
  closeListeners(): void {
    this.#draining = true;
    this.broadcast(CLOSE_LISTENERS);
  }

  /** Resolves when no connection is left, or when the pool is stopped. */
  async idle(): Promise<void> {
    while (!this.#stopping && this.counters().connectionsActive > 0) {
      await new Promise((resolve) => setTimeout(resolve, IDLE_CHECK_MS));
    }
  }

  /**
   * Ends the workers, which reset what is still open. They are told, not terminated: a thread that sleeps in a system
   * call cannot be, and the process could not exit either.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#replacements) clearTimeout(timer);
    this.broadcast(STOP);
    await Promise.all(this.#members.map((member) => member?.exited));
  }
}

/** Sends to the engine of one worker, or to those of all; before there is a pool nobody is there to hear. */
export function sendToEngines(pool: WorkerPool | undefined, message: EngineMessage, worker?: number): void {
  if (worker === undefined) pool?.broadcast(message);
  else pool?.tell(worker, message);
}

/** Wraps what ended a worker. */
function workerDeath(index: number, cause: Error): AccessError {
  return new AccessError("WORKER_DIED", "local", `worker ${index} ended`, cause);
}
