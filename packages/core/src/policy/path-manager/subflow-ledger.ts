/** What is heard of subflows: which are open, which attempts failed, and how many there are of all connections. */
import { type Endpoint, endpointKey } from "../../base/ip-address.ts";
import type { Random } from "../../base/random.ts";
import { Attempts } from "./attempts.ts";
import { type Connection, newSubflow, pairKey, type Subflow } from "./connection.ts";
import { SubflowCount, type SubflowLimits } from "./limits.ts";
import type { PathCommand, SubflowPath } from "./path-manager.ts";

type Ends = Pick<SubflowPath, "local" | "remote">;

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

  postpone(attempts: Attempts, nowMs: number): void {
    attempts.postpone(nowMs, this.#random);
  }

  /** A subflow is open; one that was asked for may carry something from `settledMs` on. */
  noteOpen(connection: Connection, event: SubflowPath, settledMs: number): void {
    const { local, remote } = event;
    if (connection.find(local, remote) !== undefined) return;
    const key = pairKey(local.address, remote);
    const attempts = connection.attempts.get(key);
    const asked = attempts !== undefined && attempts.opening > 0;
    const subflow = newSubflow(event, asked && attempts.backup);
    if (asked) subflow.settledMs = settledMs;
    connection.subflows.push(subflow);
    if (!asked) return this.#count.add(connection.remote.address, 1);
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
    if (command.type === "setPriority") this.#noteMissing(connection, command, nowMs);
    if (command.type !== "createSubflow") return;
    const attempts = connection.attempts.get(pairKey(command.local, command.remote));
    if (attempts === undefined || attempts.opening === 0) return;
    this.#endAttempt(connection, attempts);
    this.postpone(attempts, nowMs);
  }

  /** The engine knows nothing of this subflow: its end was not told. */
  #noteMissing(connection: Connection, { local, remote }: Ends, nowMs: number): void {
    const subflow = connection.find(local, remote);
    if (subflow === undefined) return;
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
