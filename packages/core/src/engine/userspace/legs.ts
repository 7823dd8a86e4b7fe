/** The legs of a userspace engine: what each is, and which readiness it has to tell. */
import type { HostConnection } from "../../stack/host/host-connection.ts";
import type { HostListener } from "../../stack/host/listener.ts";
import type { Leg } from "../engine.ts";

/** Legs begin above every descriptor that Linux gives (fs.nr_open is at most 2^30): beside kernel sockets they cannot be mistaken. */
export const FIRST_LEG = 0x4000_0000;

interface CommonLeg {
  readonly leg: Leg;
  /** Its readiness is reported with this; undefined while nobody watches. */
  tag: number | undefined;
  /** Bits of READY that were not reported yet. */
  edges: number;
}

export interface ListenerLeg extends CommonLeg {
  readonly kind: "listener";
  readonly listener: HostListener;
}

export interface StreamLeg extends CommonLeg {
  readonly kind: "stream";
  readonly connection: HostConnection;
  isConnected: boolean;
  /** The peer has ended its stream; what is readable is all. */
  hasEnded: boolean;
  /** We have ended ours. */
  isShut: boolean;
  /** How the connection failed, as a positive errno; 0 while it has not. */
  failure: number;
  /** Whether nobody has asked for the failure yet. */
  isFailurePending: boolean;
}

export type AnyLeg = ListenerLeg | StreamLeg;

export class LegTable {
  readonly #legs: (AnyLeg | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #byListener = new Map<HostListener, ListenerLeg>();
  readonly #byConnection = new Map<HostConnection, StreamLeg>();

  addListener(listener: HostListener): ListenerLeg {
    const leg: ListenerLeg = { kind: "listener", leg: this.#take(), tag: undefined, edges: 0, listener };
    this.#byListener.set(listener, leg);
    return this.#put(leg);
  }

  addStream(connection: HostConnection, isConnected: boolean): StreamLeg {
    const leg: StreamLeg = {
      kind: "stream",
      leg: this.#take(),
      tag: undefined,
      edges: 0,
      connection,
      isConnected,
      hasEnded: connection.mptcp.parts.session.receiver.finReached,
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

  ofListener(listener: HostListener): ListenerLeg | undefined {
    return this.#byListener.get(listener);
  }

  ofConnection(connection: HostConnection): StreamLeg | undefined {
    return this.#byConnection.get(connection);
  }

  /** The number may be used again. */
  delete(leg: AnyLeg): void {
    this.#legs[leg.leg - FIRST_LEG] = undefined;
    this.#free.push(leg.leg - FIRST_LEG);
    if (leg.kind === "listener") this.#byListener.delete(leg.listener);
    else this.#byConnection.delete(leg.connection);
  }
}
