/** What the files of a Multipath TCP connection work on together. */
import type { Deadlines } from "../../base/deadlines.ts";
import type { CloseReason } from "../tcp/events.ts";
import type { AddressBook } from "./address-book.ts";
import type { MptcpEvent } from "./events.ts";
import type { Session } from "./session.ts";
import type { Subflow } from "./subflow.ts";

/** The timers of a connection; those of its subflows are their own. */
export type MptcpTimer =
  /** When to send again what has no DATA_ACK, or DATA_FIN. */
  | "dataRetransmission"
  /** When to give up a connection whose data is not acknowledged. */
  | "giveUp"
  /** When to probe the connection's closed window. */
  | "dataPersist"
  /** When to say the third segment of a join again. */
  | "joinAcknowledgement"
  /** When not to wait any more for the peer to close its subflows (RFC 8041 section 3.6). */
  | "lateClose"
  /** When a connection without subflows ends. */
  | "empty";

/** How often the peer said something that makes no sense, or is not to be believed. */
export interface MptcpCounters {
  conflictingMapping: number;
  mappingBeyondWindow: number;
  dataAckBeyondData: number;
  wrongChecksum: number;
  dataWithoutMapping: number;
}

export interface MptcpParts {
  readonly session: Session;
  readonly addresses: AddressBook;
  readonly timers: Deadlines<MptcpTimer>;
  readonly counters: MptcpCounters;
  readonly events: MptcpEvent[];
  /** Those that are not over, in the order of their identifiers. */
  subflows: Subflow[];
  closeReason: CloseReason | undefined;
  /** The application neither reads nor writes any more. */
  isOrphan: boolean;
  /** Our DATA_FIN was said before the peer's had come. */
  endedFirst: boolean;
}

/** Events that nobody has asked for yet. Each call of a driver makes a few at most; beyond this the oldest goes. */
export const MOST_EVENTS = 1024;

export function tell({ events }: MptcpParts, event: MptcpEvent): void {
  const isRepeated =
    "subflow" in event || "addressId" in event ? false : events.some(({ type }) => type === event.type);
  if (isRepeated) return;
  if (events.length >= MOST_EVENTS) events.shift();
  events.push(event);
}

/** Those that may carry data now. */
export function usable({ subflows }: MptcpParts): Subflow[] {
  return subflows.filter(({ isUsable }) => isUsable);
}

/** Has every subflow that can say something to the peer: DATA_ACK, window, DATA_FIN. */
export function acknowledgeOnAll({ subflows }: MptcpParts): void {
  for (const { tcp } of subflows) tcp.requestAcknowledgement();
}
