/** How many connections the descriptor limit of this process allows. */
import { readdirSync } from "node:fs";
import { AccessError } from "../base/error.ts";
import { raiseDescriptorLimit } from "../platform/descriptor-limit.ts";

/** Descriptors kept for what the daemon opens later: the admin socket's clients, netlink, probes, files. */
const RESERVE = 64;
/** A worker's epoll, listeners and wake descriptor, and what Node opens for its thread. */
const DESCRIPTORS_PER_WORKER = 16;
const DESCRIPTORS_PER_CONNECTION = 2;

export interface Capacity {
  readonly descriptorLimit: number;
  /** Connections of one worker. */
  readonly connectionsPerWorker: number;
}

/**
 * Raises the descriptor limit as far as allowed and shares among the workers what is not open already; never more than
 * `wanted` connections each. Throws an AccessError when nothing is left to share.
 */
export function connectionCapacity(workers: number, wanted: number): Capacity {
  const descriptorLimit = raiseDescriptorLimit();
  const free = descriptorLimit - readdirSync("/proc/self/fd").length;
  return { descriptorLimit, connectionsPerWorker: shareDescriptors(free, workers, wanted) };
}

/** The arithmetic: connections of each of `workers` when `free` descriptors are left. */
export function shareDescriptors(free: number, workers: number, wanted: number): number {
  const share = Math.floor((free - RESERVE) / workers) - DESCRIPTORS_PER_WORKER;
  const connections = Math.floor(share / DESCRIPTORS_PER_CONNECTION);
  if (connections >= 1) return Math.min(wanted, connections);
  const needed = RESERVE + workers * (DESCRIPTORS_PER_WORKER + DESCRIPTORS_PER_CONNECTION);
  throw new AccessError(
    "DESCRIPTOR_LIMIT",
    "system",
    `${free} free descriptors are too few for ${workers} workers, which need ${needed}: raise the limit (LimitNOFILE)`,
  );
}
