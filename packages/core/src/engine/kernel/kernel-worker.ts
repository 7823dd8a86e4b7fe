/** The kernel engine on a worker's thread: its legs are descriptors, and the epoll is all it waits with. */
import type { WorkerEngine, WorkerEngineOptions } from "../engine-control.ts";
import { KernelEngine } from "./kernel-engine.ts";

export function startKernelWorker({ epoll, ledger }: WorkerEngineOptions): WorkerEngine {
  return { engine: new KernelEngine(epoll, ledger), poller: epoll, onMessage() {}, close() {} };
}
