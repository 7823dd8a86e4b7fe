/** How many connections the descriptor limit of this process allows. */
import { readdirSync } from "node:fs";
import { AccessError } from "../base/error.ts";
import { raiseDescriptorLimit } from "../platform/descriptor-limit.ts";

/** Descriptors kept for what the daemon opens later: the admin socket's clients, netlink, probes, files. */
const RESERVE = 64;
/** A worker's epoll, listeners and wake descriptor, and what Node opens for its thread. */
const DESCRIPTORS_PER_WORKER = 16;
const DESCRIPTORS_PER_CONNECTION = 2;
const DESCRIPTORS_PER_PIPE = 2;
/** Of the connections of a worker, so many at least for each pipe. */
const CONNECTIONS_PER_PIPE = 16;
/** Full ones are as much memory as slow receivers of a worker may hold. */
const MOST_PIPES = 64;

/** What one worker may have open at once. */
export interface WorkerShare {
  readonly connectionsPerWorker: number;
  /** Pipes that bulk data goes through. */
  readonly pipesPerWorker: number;
}

export interface Capacity extends WorkerShare {
  readonly descriptorLimit: number;
}

/**
 * Raises the descriptor limit as far as allowed and shares among the workers what is not open already; never more than
 * `wanted` connections each. Throws an AccessError when nothing is left to share.
 */
export function connectionCapacity(workers: number, wanted: number): Capacity {
  const descriptorLimit = raiseDescriptorLimit();
  const free = descriptorLimit - readdirSync("/proc/self/fd").length;
  return { descriptorLimit, ...shareDescriptors(free, workers, wanted) };
}

/** The arithmetic: what each of `workers` may have when `free` descriptors are left. */
export function shareDescriptors(free: number, workers: number, wanted: number): WorkerShare {
  const share = Math.floor((free - RESERVE) / workers) - DESCRIPTORS_PER_WORKER;
  const perPipe = DESCRIPTORS_PER_PIPE + CONNECTIONS_PER_PIPE * DESCRIPTORS_PER_CONNECTION;
  const pipesPerWorker = Math.max(0, Math.min(MOST_PIPES, Math.floor(share / perPipe)));
  const connections = Math.floor((share - pipesPerWorker * DESCRIPTORS_PER_PIPE) / DESCRIPTORS_PER_CONNECTION);
  if (connections >= 1) return { connectionsPerWorker: Math.min(wanted, connections), pipesPerWorker };
  const needed = RESERVE + workers * (DESCRIPTORS_PER_WORKER + DESCRIPTORS_PER_CONNECTION);
  throw new AccessError(
    "DESCRIPTOR_LIMIT",
    "system",
    `${free} free descriptors are too few for ${workers} workers, which need ${needed}: raise the limit (LimitNOFILE)`,
  );
}
