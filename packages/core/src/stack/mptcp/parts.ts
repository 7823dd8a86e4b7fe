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
  /** Undefined while nothing was counted. */
  counters: MptcpCounters | undefined;
  /** Undefined while there are none. */
  events: MptcpEvent[] | undefined;
  /** Those that are not over, in the order of their identifiers. */
  subflows: readonly Subflow[];
  closeReason: CloseReason | undefined;
  /** The application neither reads nor writes any more. */
  isOrphan: boolean;
  /** Our DATA_FIN was said before the peer's had come. */
  endedFirst: boolean;
}

/** Events that nobody has asked for yet. Each call of a driver makes a few at most; beyond this the oldest goes. */
export const MOST_EVENTS = 1024;

export function tell(parts: MptcpParts, event: MptcpEvent): void {
  const { events } = parts;
  if (events === undefined) {
    parts.events = [event];
    return;
  }
  const isRepeated =
    "subflow" in event || "addressId" in event ? false : events.some(({ type }) => type === event.type);
  if (isRepeated) return;
  if (events.length >= MOST_EVENTS) events.shift();
  events.push(event);
}

export function takeEvent(parts: MptcpParts): MptcpEvent | undefined {
  const event = parts.events?.shift();
  if (parts.events?.length === 0) parts.events = undefined;
  return event;
}

const NOTHING_COUNTED: MptcpCounters = {
  conflictingMapping: 0,
  mappingBeyondWindow: 0,
  dataAckBeyondData: 0,
  wrongChecksum: 0,
  dataWithoutMapping: 0,
};

export function count(parts: MptcpParts, what: keyof MptcpCounters): void {
  parts.counters ??= { ...NOTHING_COUNTED };
  parts.counters[what] += 1;
}

/** Those that may carry data now. */
export function usable({ subflows }: MptcpParts): Subflow[] {
  return subflows.filter(({ isUsable }) => isUsable);
}

/** Has every subflow that can say something to the peer: DATA_ACK, window, DATA_FIN. */
export function acknowledgeOnAll({ subflows }: MptcpParts): void {
  for (const { tcp } of subflows) tcp.requestAcknowledgement();
}
