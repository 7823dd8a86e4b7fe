/** Path control of the userspace engine, on the thread of its legs. */
import { type Endpoint, equalEndpoints } from "../../base/ip-address.ts";
import { ERRNO } from "../../platform/errno.ts";
import type { PathCommand, PathEvent, SubflowPath } from "../../policy/path-manager/path-manager.ts";
import type { HostConnection } from "../../stack/host/host-connection.ts";
import type { HostEvent } from "../../stack/host/transport-host.ts";
import type { MptcpEvent, SubflowDescription } from "../../stack/mptcp/events.ts";
import type { CloseReason } from "../../stack/tcp/events.ts";
import type { PathControl } from "../engine.ts";
import type { PacketDriver } from "./packet-driver.ts";
import type { UserspaceEngine } from "./userspace-engine.ts";

/** The errno with which a subflow's end is told. */
const ERRORS: Readonly<Record<CloseReason, number>> = {
  finished: 0,
  aborted: 0,
  reset: ERRNO.ECONNRESET,
  refused: ERRNO.ECONNREFUSED,
  timedOut: ERRNO.ETIMEDOUT,
};

export class UserspacePathControl implements PathControl {
  readonly unknownEvents = 0;
  readonly #driver: PacketDriver;
  readonly #engine: UserspaceEngine;

  constructor(driver: PacketDriver, engine: UserspaceEngine) {
    this.#driver = driver;
    this.#engine = engine;
  }

  onEvent(listener: (event: PathEvent) => void): void {
    this.#engine.onHostEvent = (event) => {
      for (const told of pathEventsOf(event)) listener(told);
    };
  }

  execute(command: PathCommand): boolean {
    const connection = this.#driver.host.byToken(command.token);
    if (connection === undefined || connection.mptcp.closeReason !== undefined) return false;
    const done = this.#carryOut(connection, command);
    this.#driver.host.touch(connection);
    return done;
  }

  #carryOut(connection: HostConnection, command: PathCommand): boolean {
    const nowMs = performance.now();
    const { mptcp, announced } = connection;
    switch (command.type) {
      case "createSubflow":
        return this.#createSubflow(connection, command, nowMs);
      case "destroySubflow":
        return withSubflow(connection, command, (id) => mptcp.closeSubflow(id, nowMs));
      case "setPriority":
        return withSubflow(connection, command, (id) => mptcp.setBackup(id, command.backup, nowMs));
      case "announce": {
        const { localId: addressId, local } = command;
        const port = local.port === 0 ? {} : { port: local.port };
        if (!mptcp.announce({ addressId, address: local.address, ...port }, nowMs)) return false;
        announced.set(addressId, local);
        return true;
      }
      case "remove":
        announced.delete(command.localId);
        mptcp.removeAddress(command.localId, nowMs);
        return true;
    }
  }

  #createSubflow(
    connection: HostConnection,
    { local: address, localId: localAddressId, remote, backup }: Extract<PathCommand, { type: "createSubflow" }>,
    nowMs: number,
  ): boolean {
    const port = this.#driver.freePort(address, remote);
    if (port === undefined || this.#driver.uplinkOf(address) === undefined) return false;
    const path = { local: { address, port }, localAddressId, remote, backup };
    return typeof this.#driver.host.join(connection, path, nowMs) !== "string";
  }

  close(): void {
    this.#engine.onHostEvent = () => {};
  }
}

/** False where there is no such subflow. */
function withSubflow(
  { mptcp }: HostConnection,
  { local, remote }: { readonly local: Endpoint; readonly remote: Endpoint },
  act: (id: number) => void,
): boolean {
  const found = mptcp.subflows.find(
    ({ tcp }) => equalEndpoints(tcp.local, local) && equalEndpoints(tcp.remote, remote),
  );
  if (found !== undefined) act(found.id);
  return found !== undefined;
}

function pathOf({
  local,
  remote,
  localAddressId: localId,
  remoteAddressId: remoteId,
}: SubflowDescription): SubflowPath {
  return { local, remote, localId, remoteId };
}

/** What a path manager is told of an event; nothing of plain TCP. */
function pathEventsOf({ connection, event }: HostEvent): PathEvent[] {
  if (event.type === "acceptable" || !connection.mptcp.isMultipath) return [];
  const { token } = connection.mptcp;
  switch (event.type) {
    case "connected":
      return [{ type: "connectionCreated", token, ...beginningOf(connection) }];
    case "subflowEstablished":
      return [onEstablished(connection, event)];
    case "subflowClosed": {
      const { reason, resetReason } = event;
      return [{ type: "subflowClosed", token, error: ERRORS[reason], resetReason, ...pathOf(event) }];
    }
    case "subflowPriority":
      return [{ type: "subflowPriority", token, backup: event.backup, ...pathOf(event) }];
    case "addressAnnounced": {
      const remote = { address: event.address, port: event.port ?? 0 };
      return [{ type: "addressAnnounced", token, remoteId: event.addressId, remote }];
    }
    case "addressRemoved":
      return [{ type: "addressRemoved", token, remoteId: event.addressId }];
    case "closed":
      return [{ type: "connectionClosed", token }];
    default:
      return [];
  }
}

function onEstablished(
  connection: HostConnection,
  event: Extract<MptcpEvent, { type: "subflowEstablished" }>,
): PathEvent {
  const { token, subflows } = connection.mptcp;
  if (event.subflow === 0) return { type: "connectionEstablished", token, ...beginningOf(connection) };
  const backup = subflows.find(({ id }) => id === event.subflow)?.isBackup ?? false;
  return { type: "subflowEstablished", token, backup, ...pathOf(event) };
}

function beginningOf({ local, remote, listener, mptcp }: HostConnection) {
  const denyJoinInitial = mptcp.parts.session.peerRefusesJoins;
  return { local, remote, localId: 0, remoteId: 0, serverSide: listener !== undefined, denyJoinInitial };
}
