/**
 * The states of a TCP connection: RFC 9293 section 3.3.2, figure 5, as a table. Two rules for this file: whatever
 * changes a connection's state is an event of this table, and the file does not know what else an event does.
 *
 * Read beside the figure: a row is a box, an entry an arrow that leaves it. What differs from the figure: "receive SYN"
 * of LISTEN makes a connection of its own, in SYN-RECEIVED; SEND in LISTEN does not exist; a segment that acknowledges
 * our FIN and carries the peer's is two events, so FIN-WAIT-1 goes to TIME-WAIT by way of FIN-WAIT-2. An abort (a RST
 * sent or received, or giving up) leads from everywhere to CLOSED.
 */
import { AccessError } from "../../base/error.ts";

export type TcpState =
  | "closed"
  | "listen"
  | "synSent"
  | "synReceived"
  | "established"
  | "finWait1"
  | "finWait2"
  | "closeWait"
  | "closing"
  | "lastAck"
  | "timeWait";

export type StateEvent =
  | "activeOpen"
  | "passiveOpen"
  | "receiveSyn"
  | "receiveSynAck"
  | "receiveAckOfSyn"
  | "close"
  | "receiveFin"
  | "receiveAckOfFin"
  /** TIME-WAIT has lasted for two maximum segment lifetimes. */
  | "timeout"
  | "abort";

export const TRANSITIONS: Readonly<Record<TcpState, Readonly<Partial<Record<StateEvent, TcpState>>>>> = {
  closed: { activeOpen: "synSent", passiveOpen: "listen" },
  listen: { receiveSyn: "synReceived", close: "closed", abort: "closed" },
  synSent: { receiveSynAck: "established", receiveSyn: "synReceived", close: "closed", abort: "closed" },
  synReceived: { receiveAckOfSyn: "established", close: "finWait1", abort: "closed" },
  established: { close: "finWait1", receiveFin: "closeWait", abort: "closed" },
  finWait1: { receiveAckOfFin: "finWait2", receiveFin: "closing", abort: "closed" },
  finWait2: { receiveFin: "timeWait", abort: "closed" },
  closeWait: { close: "lastAck", abort: "closed" },
  closing: { receiveAckOfFin: "timeWait", abort: "closed" },
  lastAck: { receiveAckOfFin: "closed", abort: "closed" },
  timeWait: { timeout: "closed", abort: "closed" },
};

/**
 * Where an event leads. Throws an {@link AccessError} with the code TCP_STATE where the table has no arrow: a fault of
 * this program.
 */
export function transition(state: TcpState, event: StateEvent): TcpState {
  const next = TRANSITIONS[state][event];
  if (next === undefined) throw new AccessError("TCP_STATE", "local", `no ${event} in the TCP state ${state}`);
  return next;
}

/** Both sides know each other's first sequence number (RFC 9293 section 3.3.2: the synchronized states). */
export function isSynchronized(state: TcpState): boolean {
  return !["closed", "listen", "synSent", "synReceived"].includes(state);
}

/** The peer may still send data. */
export function mayReceive(state: TcpState): boolean {
  return state === "established" || state === "finWait1" || state === "finWait2";
}

/** Data may be sent, or sent again. */
export function maySend(state: TcpState): boolean {
  return ["established", "closeWait", "finWait1", "closing", "lastAck"].includes(state);
}
