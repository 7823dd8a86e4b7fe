/** What is heard of subflows: which are open, which attempts failed, and how many there are of all connections. */
import { type Endpoint, endpointKey } from "../../base/ip-address.ts";
import type { Random } from "../../base/random.ts";
import { Attempts } from "./attempts.ts";
import { type Connection, newSubflow, pairKey, type Subflow } from "./connection.ts";
import { SubflowCount, type SubflowLimits } from "./limits.ts";
import type { PathCommand, SubflowPath } from "./path-manager.ts";

type Ends = Pick<SubflowPath, "local" | "remote">;

/**
 * A join is acknowledged by the peer a round trip after this host takes the subflow for open (RFC 8684 section 3.2, the
 * fourth segment). Linux sends no priority before.
 */
const ROUND_TRIPS_TO_SETTLE = 1.5;
/** A handshake that took longer has repeated its SYN (RFC 6298 section 2.1), and says nothing of the round trip. */
const LONGEST_ROUND_TRIP_MS = 1000;
/** Where that acknowledgement is lost, the peer sends its SYN again after 1, 3 and 7 s: the priority is said again. */
const HANDSHAKE_LIMIT_MS = 10_000;
/** The first wait; the next ones double. */
const SAY_AGAIN_MS = 100;

export class SubflowLedger {
  readonly #count = new SubflowCount();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  get total(): number {
    return this.#count.total;
  }

  /** A connection with its initial subflow. */
  adopt({ remote }: Connection): void {
    this.#count.add(remote.address, 1);
  }

  forget(connection: Connection): void {
    this.#count.add(connection.remote.address, -connection.size);
  }

  /** Whether the limits let the connection have another subflow. */
  hasRoom(connection: Connection, limits: SubflowLimits): boolean {
    const room = Math.min(limits.perConnection, connection.peerLimit);
    return connection.size < room && this.#count.hasRoom(connection.remote.address, limits);
  }

  /** An attempt is made. */
  begin(connection: Connection, attempts: Attempts, backup: boolean, nowMs: number): void {
    attempts.begin(backup, nowMs);
    this.#count.add(connection.remote.address, 1);
  }

  postpone(attempts: Attempts, nowMs: number, waitsFor: "repair" | "limit" = "repair"): void {
    attempts.postpone(waitsFor, nowMs, this.#random);
  }

  /** A subflow is open; one that was asked for may carry something after `settleMs`, or a little more than a round trip. */
  noteOpen(connection: Connection, event: SubflowPath, settleMs: number, nowMs: number): void {
    const { local, remote } = event;
    if (connection.find(local, remote) !== undefined) return;
    const key = pairKey(local.address, remote);
    const attempts = connection.attempts.get(key);
    const asked = attempts !== undefined && attempts.opening > 0;
    const subflow = newSubflow(event, asked && attempts.backup);
    connection.subflows.push(subflow);
    if (!asked) return this.#count.add(connection.remote.address, 1);
    const roundTripMs = Math.min(nowMs - attempts.beganMs, LONGEST_ROUND_TRIP_MS);
    if (settleMs > 0) subflow.settledMs = nowMs + Math.max(settleMs, ROUND_TRIPS_TO_SETTLE * roundTripMs);
    subflow.handshakeMs = nowMs + HANDSHAKE_LIMIT_MS;
    attempts.succeed();
    if (attempts.opening === 0) connection.attempts.delete(key);
  }

  noteClosed(connection: Connection, { local, remote }: Ends, nowMs: number): void {
    if (connection.ending.delete(endpointKey(local))) return;
    const known = connection.find(local, remote);
    const attempts = attemptsOf(connection, local, remote);
    if (known !== undefined) this.drop(connection, known);
    else if (attempts.opening === 0) return;
    else this.#endAttempt(connection, attempts);
    this.postpone(attempts, nowMs);
    connection.attempts.set(pairKey(local.address, remote), attempts);
  }

  /** The engine has refused a command. */
  noteRefused(connection: Connection, command: PathCommand, nowMs: number): void {
    if (command.type === "destroySubflow") connection.ending.delete(endpointKey(command.local));
    if (command.type === "setPriority") this.#notePriorityRefused(connection, command, nowMs);
    if (command.type !== "createSubflow") return;
    const attempts = connection.attempts.get(pairKey(command.local, command.remote));
    if (attempts === undefined || attempts.opening === 0) return;
    this.#endAttempt(connection, attempts);
    this.postpone(attempts, nowMs);
  }

  #notePriorityRefused(connection: Connection, { local, remote, backup }: Ends & { backup: boolean }, nowMs: number) {
    const subflow = connection.find(local, remote);
    if (subflow === undefined) return;
    if (nowMs >= subflow.handshakeMs) return this.#noteMissing(connection, subflow, nowMs);
    subflow.backup = !backup;
    // Each wait is as long as the subflow has been open.
    const openMs = nowMs - (subflow.handshakeMs - HANDSHAKE_LIMIT_MS);
    subflow.settledMs = nowMs + Math.max(SAY_AGAIN_MS, openMs);
    subflow.repeatMs = Number.POSITIVE_INFINITY;
  }

  /** The engine knows nothing of this subflow: its end was not told. */
  #noteMissing(connection: Connection, subflow: Subflow, nowMs: number): void {
    const { local, remote } = subflow;
    this.drop(connection, subflow);
    const attempts = attemptsOf(connection, local, remote);
    connection.attempts.set(pairKey(local.address, remote), attempts);
    this.postpone(attempts, nowMs);
  }

  /** Attempts whose outcome was never told count as failed. */
  giveUp(connection: Connection, nowMs: number): void {
    for (const attempts of connection.attempts.values()) {
      if (attempts.expireMs > nowMs) continue;
      while (attempts.opening > 0) this.#endAttempt(connection, attempts);
      this.postpone(attempts, nowMs);
    }
  }

  #endAttempt({ remote }: Connection, attempts: Attempts): void {
    attempts.opening -= 1;
    this.#count.add(remote.address, -1);
  }

  drop(connection: Connection, subflow: Subflow): void {
    connection.subflows.splice(connection.subflows.indexOf(subflow), 1);
    this.#count.add(connection.remote.address, -1);
  }
}

function attemptsOf({ attempts }: Connection, local: Endpoint, remote: Endpoint): Attempts {
  return attempts.get(pairKey(local.address, remote)) ?? new Attempts(local.address);
}
