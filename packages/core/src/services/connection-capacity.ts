/** How many connections the descriptor limit of this process allows. */
import { raiseDescriptorLimit } from "../platform/descriptor-limit.ts";

/** Descriptors kept for everything that is not a relayed connection. */
const RESERVE = 256;
const DESCRIPTORS_PER_CONNECTION = 2;

export interface Capacity {
  readonly descriptorLimit: number;
  /** Connections of one worker. */
  readonly connectionsPerWorker: number;
}

/** Raises the descriptor limit as far as allowed and shares it among the workers; never more than `wanted` each. */
export function connectionCapacity(workers: number, wanted: number): Capacity {
  const descriptorLimit = raiseDescriptorLimit();
  const share = Math.floor((descriptorLimit - RESERVE) / (DESCRIPTORS_PER_CONNECTION * workers));
  return { descriptorLimit, connectionsPerWorker: Math.max(1, Math.min(wanted, share)) };
}
