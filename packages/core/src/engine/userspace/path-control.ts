/** Path control of the userspace engine, on the thread of its legs. */
import { type Endpoint, equalEndpoints } from "../../base/ip-address.ts";
import { ERRNO } from "../../platform/errno.ts";
import type { PathCommand, PathEvent, SubflowPath } from "../../policy/path-manager/path-manager.ts";
import type { MptcpConnection } from "../../stack/mptcp/connection.ts";
import type { MptcpEvent, SubflowDescription } from "../../stack/mptcp/events.ts";
import type { CloseReason } from "../../stack/tcp/events.ts";
import type { PathControl } from "../engine.ts";
import type { EngineGround, UserspaceEngine } from "./userspace-engine.ts";

/** The errno with which a subflow's end is told. */
const ERRORS: Readonly<Record<CloseReason, number>> = {
  finished: 0,
  aborted: 0,
  reset: ERRNO.ECONNRESET,
  refused: ERRNO.ECONNREFUSED,
  unreachable: ERRNO.EHOSTUNREACH,
  timedOut: ERRNO.ETIMEDOUT,
};

/** What was told of a connection's beginning. */
interface Beginning extends SubflowPath {
  readonly serverSide: boolean;
  readonly denyJoinInitial: boolean;
}

export class UserspacePathControl implements PathControl {
  readonly unknownEvents = 0;
  readonly #ground: EngineGround;
  readonly #engine: UserspaceEngine;

  constructor(ground: EngineGround, engine: UserspaceEngine) {
    this.#ground = ground;
    this.#engine = engine;
  }

  onEvent(listener: (event: PathEvent) => void): void {
    this.#engine.onConnectionEvent = (connection, event) => {
      for (const told of pathEventsOf(connection, event)) listener(told);
    };
  }

  execute(command: PathCommand): boolean {
    const connection = this.#ground.host.byToken(command.token);
    if (connection === undefined || connection.closeReason !== undefined) return false;
    const nowMs = this.#ground.nowMs();
    switch (command.type) {
      case "createSubflow":
        return this.#createSubflow(connection, command, nowMs);
      case "destroySubflow":
        return withSubflow(connection, command, (id) => connection.closeSubflow(id, nowMs));
      case "setPriority":
        return withSubflow(connection, command, (id) => connection.setBackup(id, command.backup, nowMs));
      case "announce": {
        const { address, port } = command.local;
        return connection.announce({ addressId: command.localId, address, ...(port !== 0 && { port }) }, nowMs);
      }
      case "remove":
        connection.removeAddress(command.localId, nowMs);
        return true;
    }
  }

  /** Ends one subflow with a reset; false when there is no such subflow. */
  resetSubflow(ends: Pick<SubflowPath, "local" | "remote">): boolean {
    const connection = this.#ground.host.connectionBetween(ends.local, ends.remote);
    if (connection === undefined) return false;
    return withSubflow(connection, ends, (id) => connection.closeSubflow(id, this.#ground.nowMs()));
  }

  #createSubflow(
    connection: MptcpConnection,
    { local, localId, remote, backup }: Extract<PathCommand, { type: "createSubflow" }>,
    nowMs: number,
  ): boolean {
    if (!this.#ground.isOwn(local)) return false;
    const ids = { localAddressId: localId, remoteAddressId: connection.idOfPeer(remote.address) };
    return typeof this.#ground.host.join(connection, { ...ids, remote, backup }, local, nowMs) !== "string";
  }

  close(): void {
    this.#engine.onConnectionEvent = () => {};
  }
}

/** False where there is no such subflow. */
function withSubflow(
  { subflows }: MptcpConnection,
  { local, remote }: { readonly local: Endpoint; readonly remote: Endpoint },
  act: (id: number) => void,
): boolean {
  const found = subflows.find(({ tcp }) => equalEndpoints(tcp.local, local) && equalEndpoints(tcp.remote, remote));
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
function pathEventsOf(connection: MptcpConnection, event: MptcpEvent): PathEvent[] {
  if (!connection.isMultipath) return [];
  const { token } = connection;
  switch (event.type) {
    case "connected": {
      const beginning = beginningOf(connection);
      return beginning === undefined ? [] : [{ type: "connectionCreated", token, ...beginning }];
    }
    case "subflowEstablished":
      return onEstablished(connection, event);
    case "subflowClosed": {
      // What a connection's end closes is not told apart.
      if (connection.closeReason !== undefined) return [];
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
  connection: MptcpConnection,
  event: Extract<MptcpEvent, { type: "subflowEstablished" }>,
): PathEvent[] {
  const { token, subflows } = connection;
  if (event.subflow > 0) {
    const backup = subflows.find(({ id }) => id === event.subflow)?.isBackup ?? false;
    return [{ type: "subflowEstablished", token, backup, ...pathOf(event) }];
  }
  const beginning = beginningOf(connection);
  return beginning === undefined ? [] : [{ type: "connectionEstablished", token, ...beginning }];
}

/** Undefined when its first subflow is gone already. */
function beginningOf({ subflows, parts, isInitiator }: MptcpConnection): Beginning | undefined {
  const first = subflows.find(({ id }) => id === 0);
  const denyJoinInitial = parts.session.peerRefusesJoins;
  return first && { ...pathOf(first.description), serverSide: !isInitiator, denyJoinInitial };
}
