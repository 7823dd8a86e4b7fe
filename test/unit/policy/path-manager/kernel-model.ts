/** A model of the kernel's side of path control: takes commands, checks that they make sense, gives the events. */
import { type Endpoint, equalEndpoints, formatEndpoint, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type {
  PathCommand,
  PathEvent,
  SubflowPath,
  UplinkAddress,
} from "@hybrid-access/core/policy/path-manager/path-manager";
import { expect } from "chai";

export interface ModelSubflow extends SubflowPath {
  backup: boolean;
}

export interface ModelConnection {
  readonly token: number;
  readonly serverSide: boolean;
  readonly subflows: ModelSubflow[];
  /** Asked for, not yet answered. */
  readonly opening: (Omit<ModelSubflow, "remoteId"> & { readonly remoteId: number })[];
}

export class KernelModel {
  readonly connections = new Map<number, ModelConnection>();
  #port = 40_000;
  #token = 1;

  /** A new connection, and its event. */
  connect(local: IpAddress, remote: Endpoint, flags: { serverSide?: boolean; denyJoinInitial?: boolean } = {}) {
    const { serverSide = false, denyJoinInitial = false } = flags;
    const token = this.#token++;
    const path = { localId: 0, remoteId: 0, local: { address: local, port: this.#port++ }, remote };
    this.connections.set(token, { token, serverSide, subflows: [{ ...path, backup: false }], opening: [] });
    return { type: "connectionEstablished", token, ...path, serverSide, denyJoinInitial } as const satisfies PathEvent;
  }

  /** Carries commands out; each must be about a connection and a subflow that exist. Gives the events that follow. */
  execute(commands: readonly PathCommand[]): PathEvent[] {
    return commands.flatMap((command) => this.#executeOne(command));
  }

  #executeOne(command: PathCommand): PathEvent[] {
    const connection = this.connections.get(command.token);
    if (connection === undefined) throw new Error(`${command.type} for an unknown token`);
    expect(connection.serverSide, `${command.type} for a connection that was accepted`).to.equal(false);
    switch (command.type) {
      case "createSubflow": {
        const local = { address: command.local, port: this.#port++ };
        const { localId, remote, backup } = command;
        connection.opening.push({ localId, remoteId: 0, local, remote, backup });
        return [];
      }
      case "destroySubflow":
        return [this.end(connection, this.#find(connection, command), 0)];
      case "setPriority":
        this.#find(connection, command).backup = command.backup;
        return [];
      default:
        return [];
    }
  }

  #find({ subflows }: ModelConnection, { local, remote }: { local: Endpoint; remote: Endpoint }): ModelSubflow {
    const found = subflows.find(
      (subflow) => equalEndpoints(subflow.local, local) && equalEndpoints(subflow.remote, remote),
    );
    if (found === undefined) throw new Error(`no subflow from ${formatEndpoint(local)}`);
    return found;
  }

  /** The oldest attempt succeeds, or fails with an errno. */
  answer({ token, opening, subflows }: ModelConnection, error: number): PathEvent[] {
    const attempt = opening.shift();
    if (attempt === undefined) return [];
    if (error !== 0) return [{ type: "subflowClosed", token, ...attempt, error, resetReason: undefined }];
    subflows.push(attempt);
    return [{ type: "subflowEstablished", token, ...attempt, backup: false }];
  }

  end({ token, subflows }: ModelConnection, subflow: ModelSubflow, error: number): PathEvent {
    subflows.splice(subflows.indexOf(subflow), 1);
    return { type: "subflowClosed", token, ...subflow, error, resetReason: undefined };
  }

  close({ token }: ModelConnection): PathEvent {
    this.connections.delete(token);
    return { type: "connectionClosed", token };
  }
}

/** An uplink address as tests write it. */
export function uplink(name: string, cost: number, address: IpAddress, localId: number): UplinkAddress {
  return { uplink: name, cost, address, localId, interfaceIndex: localId };
}
