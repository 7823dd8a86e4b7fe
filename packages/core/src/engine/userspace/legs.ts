/** The legs of a userspace engine: what each is, and which readiness it has to tell. */
import type { Endpoint } from "../../base/ip-address.ts";
import type { Listener } from "../../stack/listener.ts";
import type { MptcpConnection } from "../../stack/mptcp/connection.ts";
import type { Leg } from "../engine.ts";

/** Legs begin above every descriptor that Linux gives (fs.nr_open is at most 2^30): beside kernel sockets they cannot be mistaken. */
export const FIRST_LEG = 0x4000_0000;

interface CommonLeg {
  readonly leg: Leg;
  /** Its readiness is reported with this; undefined while nobody watches. */
  tag: number | undefined;
  /** Whether that includes when it can be written to. */
  tellsWritable: boolean;
  /** Bits of READY that were not reported yet. */
  edges: number;
}

export interface ListenerLeg extends CommonLeg {
  readonly kind: "listener";
  readonly listener: Listener;
  readonly port: number;
  /** Of the listener's arrivals, those that readiness was told of. */
  arrivalsTold: number;
}

export interface StreamLeg extends CommonLeg {
  readonly kind: "stream";
  readonly connection: MptcpConnection;
  /** The ends of the first subflow. */
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** It was to be Multipath TCP. */
  readonly wantsMultipath: boolean;
  /** The peer has ended its stream; what is readable is all. */
  hasEnded: boolean;
  /** We have ended ours. */
  isShut: boolean;
  /** How the connection failed, as a positive errno; 0 while it has not. */
  failure: number;
  /** Whether nobody has asked for the failure yet. */
  isFailurePending: boolean;
}

/** The ends of a connection's first subflow. */
export type StreamEnds = Pick<StreamLeg, "local" | "remote">;

export type AnyLeg = ListenerLeg | StreamLeg;

export class LegTable {
  readonly #legs: (AnyLeg | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #listeners = new Set<ListenerLeg>();
  readonly #byConnection = new Map<MptcpConnection, StreamLeg>();

  addListener(listener: Listener, port: number): ListenerLeg {
    const common = { leg: this.#take(), tag: undefined, tellsWritable: false, edges: 0 };
    const leg: ListenerLeg = { kind: "listener", ...common, listener, port, arrivalsTold: 0 };
    this.#listeners.add(leg);
    return this.#put(leg);
  }

  /** Of a connection that is not over. */
  addStream(connection: MptcpConnection, wantsMultipath: boolean, { local, remote }: StreamEnds): StreamLeg {
    const leg: StreamLeg = {
      kind: "stream",
      leg: this.#take(),
      tag: undefined,
      tellsWritable: false,
      edges: 0,
      connection,
      local,
      remote,
      wantsMultipath,
      hasEnded: connection.parts.session.receiver.finReached,
      isShut: false,
      failure: 0,
      isFailurePending: false,
    };
    this.#byConnection.set(connection, leg);
    return this.#put(leg);
  }

  #take(): Leg {
    return FIRST_LEG + (this.#free.pop() ?? this.#legs.length);
  }

  #put<One extends AnyLeg>(leg: One): One {
    this.#legs[leg.leg - FIRST_LEG] = leg;
    return leg;
  }

  get(leg: Leg): AnyLeg | undefined {
    return this.#legs[leg - FIRST_LEG];
  }

  stream(leg: Leg): StreamLeg | undefined {
    const found = this.get(leg);
    return found?.kind === "stream" ? found : undefined;
  }

  get listeners(): ReadonlySet<ListenerLeg> {
    return this.#listeners;
  }

  get streams(): Iterable<StreamLeg> {
    return this.#byConnection.values();
  }

  /** One of the listeners at a port. */
  listenerAt(port: number): ListenerLeg | undefined {
    for (const listener of this.#listeners) if (listener.port === port) return listener;
    return undefined;
  }

  ofConnection(connection: MptcpConnection): StreamLeg | undefined {
    return this.#byConnection.get(connection);
  }

  /** The number may be used again. */
  delete(leg: AnyLeg): void {
    this.#legs[leg.leg - FIRST_LEG] = undefined;
    this.#free.push(leg.leg - FIRST_LEG);
    if (leg.kind === "listener") this.#listeners.delete(leg);
    else this.#byConnection.delete(leg.connection);
  }
}
