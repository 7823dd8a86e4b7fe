/** The control plane's view of the data-plane workers: starts them, talks to them, notices when one dies. */
import { once } from "node:events";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { AccessError } from "../base/error.ts";
import { openEventDescriptor, signalEvent } from "../platform/epoll.ts";
import { type CounterName, createCounterMemory, sumCounters } from "./counters.ts";
import { CLOSE_LISTENERS, STOP } from "./worker-loop.ts";

/** What every worker gets besides its daemon's own setup. */
export interface WorkerEnvironment {
  readonly index: number;
  readonly wakeDescriptor: number;
  readonly inbox: MessagePort;
  readonly counterMemory: SharedArrayBuffer;
}

/** What a worker says to the control plane: "listening", or what its front reports. */
export interface WorkerReport {
  readonly type: string;
  readonly [detail: string]: unknown;
}

const IDLE_CHECK_MS = 100;

interface Member {
  readonly worker: Worker;
  readonly outbox: MessagePort;
  readonly wakeDescriptor: number;
}

export interface WorkerPoolOptions {
  /** The module a worker runs; it reports { type: "listening" } once it accepts. */
  readonly entry: URL;
  readonly workers: number;
  /** Handed to each worker beside its {@link WorkerEnvironment}. */
  readonly setup: unknown;
  readonly onReport: (report: WorkerReport) => void;
  /** A worker ended by itself: `error` says why. */
  readonly onDeath: (index: number, error: Error) => void;
}

export class WorkerPool {
  readonly #members: Member[] = [];
  readonly #counterMemory: SharedArrayBuffer;
  readonly #options: WorkerPoolOptions;
  #stopping = false;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#counterMemory = createCounterMemory(options.workers);
  }

  /** Starts the workers and waits until every one accepts connections. */
  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.#options.workers }, (_, index) => this.#startWorker(index)));
  }

  async #startWorker(index: number): Promise<void> {
    const { port1: outbox, port2: inbox } = new MessageChannel();
    const wakeDescriptor = openEventDescriptor();
    const environment: WorkerEnvironment = { index, wakeDescriptor, inbox, counterMemory: this.#counterMemory };
    const worker = new Worker(this.#options.entry, {
      workerData: { environment, setup: this.#options.setup },
      transferList: [inbox],
    });
    outbox.unref();
    this.#members[index] = { worker, outbox, wakeDescriptor };
    const listening = new Promise<void>((resolve, reject) => {
      worker.on("message", (report: WorkerReport) => {
        if (report.type === "listening") resolve();
        else this.#options.onReport(report);
      });
      worker.once("error", reject);
    });
    await listening;
    worker.removeAllListeners("error");
    worker.on("error", (error: Error) => {
      if (!this.#stopping) this.#options.onDeath(index, error);
    });
  }

  /** Sends a message to every worker. A worker in its loop hears it through its wake descriptor. */
  broadcast(message: unknown): void {
    for (const { outbox, wakeDescriptor } of this.#members) {
      outbox.postMessage(message);
      signalEvent(wakeDescriptor);
    }
  }

  counters(): Record<CounterName, number> {
    return sumCounters(this.#counterMemory);
  }

  /** Accepts no more; what is open goes on. */
  closeListeners(): void {
    this.broadcast(CLOSE_LISTENERS);
  }

  /** Resolves when no connection is left, or when the pool is stopped. */
  async idle(): Promise<void> {
    while (!this.#stopping && this.counters().connectionsActive > 0) {
      await new Promise((resolve) => setTimeout(resolve, IDLE_CHECK_MS));
    }
  }

  /**
   * Ends the workers. They are told, not terminated: a thread that sleeps in a system call cannot be, and the process
   * could not exit either.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    const exits = this.#members.map(({ worker }) => once(worker, "exit"));
    this.broadcast(STOP);
    await Promise.all(exits);
  }
}

/** Wraps what ended a worker. */
export function workerDeath(index: number, cause: Error): AccessError {
  return new AccessError("WORKER_DIED", "local", `worker ${index} ended: ${cause.message}`, cause);
}
