/**
 * All uplinks at once: every connection that this host opened has one subflow over each usable uplink address of the
 * peer's family. Lost subflows are opened again with exponential back-off while their uplink is usable (RFC 8041
 * section 3.4 names what happens to managers that do not). Subflows over an uplink that is degraded or has used its quota
 * up are backup while another one is fine.
 */
import { equalBytes } from "../../base/bytes.ts";
import { type Endpoint, equalEndpoints, familyOf, type IpAddress } from "../../base/ip-address.ts";
import { isDemoted } from "../uplink-preference.ts";
import type { PathCommand, PathEvent, PathManager, SubflowPath, UplinkAddress } from "./path-manager.ts";

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;

interface Retry {
  readonly dueMs: number;
  readonly delayMs: number;
}

interface OpenSubflow extends SubflowPath {
  backup: boolean;
}

interface Connection {
  readonly token: number;
  /** The peer's end of the initial subflow: where the others go too (RFC 8041 section 3.5). */
  readonly remote: Endpoint;
  readonly subflows: OpenSubflow[];
  /** By local address identifier: attempts that were asked for and not yet answered, and waits between them. */
  readonly opening: Map<number, { readonly backup: boolean }>;
  readonly retries: Map<number, Retry>;
}

export class AggregatePathManager implements PathManager {
  readonly #connections = new Map<number, Connection>();
  #addresses: readonly UplinkAddress[] = [];

  onEvent(event: PathEvent, nowMs: number): PathCommand[] {
    const connection = this.#connections.get(event.token);
    switch (event.type) {
      case "connectionEstablished":
        return event.serverSide ? [] : this.#adopt(event);
      case "connectionClosed":
        this.#connections.delete(event.token);
        return [];
      case "subflowEstablished":
        if (connection === undefined) return [];
        noteEstablished(connection, event, this.#addresses);
        return this.#prefer(connection);
      case "subflowClosed":
        if (connection !== undefined) this.#noteClosed(connection, event, nowMs);
        return [];
      default:
        return [];
    }
  }

  #adopt(event: SubflowPath & { token: number }): PathCommand[] {
    const { token, localId, remoteId, local, remote } = event;
    const initial = { localId, remoteId, local, remote, backup: false };
    const connection = { token, remote, subflows: [initial], opening: new Map(), retries: new Map() };
    this.#connections.set(token, connection);
    return [...this.#complete(connection), ...this.#prefer(connection)];
  }

  /** Makes the subflows of demoted uplinks backup, and those of the others not. */
  #prefer({ token, subflows }: Connection): PathCommand[] {
    return subflows.flatMap((subflow): PathCommand[] => {
      const address = this.#find(subflow.local.address);
      const backup = address !== undefined && isDemoted(address, this.#addresses);
      if (address === undefined || backup === subflow.backup) return [];
      subflow.backup = backup;
      const { localId, local, remote } = subflow;
      return [{ type: "setPriority", token, backup, localId, local, remote }];
    });
  }

  /** Opens what is missing and not being waited for. */
  #complete(connection: Connection): PathCommand[] {
    const missing = this.#addresses.filter(
      ({ address, localId }) =>
        familyOf(address) === familyOf(connection.remote.address) &&
        !connection.opening.has(localId) &&
        !connection.retries.has(localId) &&
        !connection.subflows.some(({ local }) => equalBytes(local.address, address)),
    );
    return missing.map((address) => this.#open(connection, address));
  }

  #open(connection: Connection, uplink: UplinkAddress): PathCommand {
    const { address: local, localId, interfaceIndex } = uplink;
    const backup = isDemoted(uplink, this.#addresses);
    connection.opening.set(localId, { backup });
    const { token, remote } = connection;
    return { type: "createSubflow", token, localId, local, interfaceIndex, remote, backup };
  }

  #noteClosed(connection: Connection, closed: SubflowPath, nowMs: number): void {
    const index = connection.subflows.findIndex(
      ({ local, remote }) => equalEndpoints(local, closed.local) && equalEndpoints(remote, closed.remote),
    );
    if (index !== -1) connection.subflows.splice(index, 1);
    const address = this.#find(closed.local.address);
    if (address === undefined) return;
    connection.opening.delete(address.localId);
    const previous = connection.retries.get(address.localId)?.delayMs;
    const delayMs = previous === undefined ? FIRST_RETRY_MS : Math.min(2 * previous, LONGEST_RETRY_MS);
    connection.retries.set(address.localId, { dueMs: nowMs + delayMs, delayMs });
  }

  #find(address: IpAddress): UplinkAddress | undefined {
    return this.#addresses.find((candidate) => equalBytes(candidate.address, address));
  }

  onUplinks(addresses: readonly UplinkAddress[]): PathCommand[] {
    const failing = addresses.filter((address) => isDegraded(address) && !isDegraded(this.#find(address.address)));
    this.#addresses = addresses;
    return Array.from(this.#connections.values()).flatMap((connection) => {
      const gone = connection.subflows.filter(({ local }) => this.#find(local.address) === undefined);
      const usable = new Set(addresses.map(({ localId }) => localId));
      for (const localId of connection.opening.keys()) if (!usable.has(localId)) connection.opening.delete(localId);
      // An uplink that came back is tried at once, whatever its earlier failures.
      connection.retries.clear();
      const commands: PathCommand[] = gone.map(({ localId, local, remote }) => ({
        type: "destroySubflow",
        token: connection.token,
        localId,
        local,
        remote,
      }));
      return [
        ...this.#complete(connection),
        ...commands,
        ...this.#prefer(connection),
        ...this.#recycle(connection, failing),
      ];
    });
  }

  /**
   * What waits in the queue of a path that has become bad holds up everything behind it, also when nothing is added: for
   * seconds where a rate fell to a thirtieth. Closing the subflow sends it again over the others at once; the retry that
   * follows opens a fresh one (RFC 8041 section 2.2).
   */
  #recycle({ token, subflows }: Connection, failing: readonly UplinkAddress[]): PathCommand[] {
    const isFailing = (subflow: SubflowPath) =>
      failing.some(({ address }) => equalBytes(address, subflow.local.address));
    const healthy = subflows.some(({ local }) => {
      const address = this.#find(local.address);
      return address !== undefined && !isDegraded(address);
    });
    const closed = healthy ? subflows.filter(isFailing) : [];
    return closed.map(({ localId, local, remote }) => {
      return { type: "destroySubflow", token, localId, local, remote };
    });
  }

  onTimer(nowMs: number): PathCommand[] {
    return Array.from(this.#connections.values()).flatMap((connection) => {
      const due = Array.from(connection.retries).filter(([, { dueMs }]) => dueMs <= nowMs);
      for (const [localId, { delayMs }] of due) {
        // The delay is remembered for the next failure, but no longer waited for.
        connection.retries.set(localId, { dueMs: Number.POSITIVE_INFINITY, delayMs });
      }
      return due.flatMap(([localId]) => this.#retry(connection, localId));
    });
  }

  #retry(connection: Connection, wanted: number): PathCommand[] {
    const found = this.#addresses.find(({ localId }) => localId === wanted);
    return found === undefined ? [] : [this.#open(connection, found)];
  }

  get nextTimerMs(): number | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const { retries } of this.#connections.values()) {
      for (const { dueMs } of retries.values()) next = Math.min(next, dueMs);
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }
}

function isDegraded(address: UplinkAddress | undefined): boolean {
  return address?.quality === "degraded";
}

function noteEstablished(connection: Connection, event: SubflowPath, addresses: readonly UplinkAddress[]): void {
  const { localId, remoteId, local, remote } = event;
  const address = addresses.find((candidate) => equalBytes(candidate.address, local.address));
  // What the event says of backup is what the peer wants.
  const backup = address !== undefined && connection.opening.get(address.localId)?.backup === true;
  connection.subflows.push({ localId, remoteId, local, remote, backup });
  if (address === undefined) return;
  connection.opening.delete(address.localId);
  connection.retries.delete(address.localId);
}
