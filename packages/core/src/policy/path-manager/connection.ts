/** What is known of one connection: kept from events, judged by policies, changed by the reconciler. */
import { addressKey, type Endpoint, endpointKey, equalEndpoints, type IpAddress } from "../../base/ip-address.ts";
import type { Flow } from "../rules.ts";
import type { Attempts } from "./attempts.ts";
import type { ConnectionView, PathEvent, PathReason, SubflowPath, Withheld } from "./path-manager.ts";

/** An open subflow. */
export interface Subflow extends SubflowPath {
  backup: boolean;
  /** Why a fresh one is to take its place: its path has failed, or it makes no progress. */
  stale: PathReason | undefined;
  /** From when on it may carry something: until then it is backup. */
  settledMs: number;
  /** Until then the engine may still wait for the last segment of its handshake. */
  handshakeMs: number;
  /** When its priority is said again; infinite when it has been. */
  repeatMs: number;
}

/** A subflow that may carry something at once. */
export function newSubflow({ localId, remoteId, local, remote }: SubflowPath, backup: boolean): Subflow {
  return {
    localId,
    remoteId,
    local,
    remote,
    backup,
    stale: undefined,
    settledMs: Number.NEGATIVE_INFINITY,
    handshakeMs: Number.NEGATIVE_INFINITY,
    repeatMs: Number.POSITIVE_INFINITY,
  };
}

/** A connection that is established now. */
export type EstablishedEvent = Extract<PathEvent, { serverSide: boolean }>;

export class Connection implements ConnectionView {
  readonly token: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly denyJoinInitial: boolean;
  readonly establishedMs: number;
  readonly subflows: Subflow[] = [];
  /** By {@link pairKey}. */
  readonly attempts = new Map<string, Attempts>();
  /** Local ends of subflows that were told to end: what is heard of them is no failure. */
  readonly ending = new Set<string>();
  readonly #announced = new Map<number, Endpoint>();
  /** What it carries, where that is known. */
  flow: Flow | undefined;
  joinPort: number | undefined;
  /** Payload, both directions together, as far as it was sampled. */
  carriedBytes = 0;
  /** The peer's limit on subflows of one connection, where it has told one. */
  peerLimit = Number.POSITIVE_INFINITY;
  /** Why it has fewer subflows than its policy wants. */
  withheld: ReadonlySet<Withheld["reason"]> = new Set();
  /** Since when it has no subflow at all. */
  emptySinceMs: number | undefined;
  /** When the timer of this connection is next due; what the heap holds beside it is out of date. */
  timerMs = Number.POSITIVE_INFINITY;

  constructor(event: EstablishedEvent, nowMs: number) {
    const { token, local, remote, denyJoinInitial } = event;
    this.token = token;
    this.local = local;
    this.remote = remote;
    this.denyJoinInitial = denyJoinInitial;
    this.establishedMs = nowMs;
    this.subflows.push(newSubflow(event, false));
  }

  get announced(): readonly Endpoint[] {
    return Array.from(this.#announced.values());
  }

  announce(remoteId: number, { address, port }: Endpoint): void {
    this.#announced.set(remoteId, { address, port: port === 0 ? this.remote.port : port });
  }

  withdraw(remoteId: number): void {
    this.#announced.delete(remoteId);
  }

  /** Subflows that are open or being opened. */
  get size(): number {
    return Array.from(this.attempts.values()).reduce((sum, { opening }) => sum + opening, this.subflows.length);
  }

  find(local: Endpoint, remote: Endpoint): Subflow | undefined {
    return this.subflows.find(
      (subflow) => equalEndpoints(subflow.local, local) && equalEndpoints(subflow.remote, remote),
    );
  }
}

/** What tells the subflows of one pair of addresses from others, as a key of tables. */
export function pairKey(local: IpAddress, remote: Endpoint): string {
  return addressKey(local) + endpointKey(remote);
}
