/** What happened to gateways, uplinks and subflows lately: a bounded ring of numbered events, and its followers. */
import {
  describePathMessage,
  PATH_RECORD_BYTES,
  type PathMessage,
  readPathRecord,
  writePathRecord,
} from "./path-record.ts";

/** One event, as it is shown. `detail` is plain data. */
export interface LoggedEvent {
  /** Counts up by one from 1: a gap says that events were missed. */
  readonly sequence: number;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly event: string;
  readonly [detail: string]: unknown;
}

/** What is shown beside the kind of an event. */
export type EventDetail = Readonly<Record<string, unknown>>;

/** An event that is kept as an object: seldom ones. */
interface KeptEvent {
  readonly event: string;
  readonly detail: () => EventDetail;
}

/** Whether a command was carried out; an event has no such thing. */
const UNSAID = 0;
const REFUSED = 1;
const DONE = 2;

export class EventLog {
  readonly #capacity: number;
  /** By place in the ring; a path message has a record in place of an object. */
  readonly #seldom: (KeptEvent | undefined)[] = [];
  readonly #records: Uint8Array;
  readonly #outcomes: Uint8Array;
  readonly #timesMs: Float64Array;
  readonly #followers = new Set<(event: LoggedEvent) => void>();
  #sequence = 0;

  /** Keeps the last `capacity` events. */
  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#records = new Uint8Array(capacity * PATH_RECORD_BYTES);
    this.#outcomes = new Uint8Array(capacity);
    this.#timesMs = new Float64Array(capacity);
  }

  /** `detail` is asked only when the event is shown, so what it is made from must not change. */
  add(event: string, detail: () => EventDetail, timeMs = Date.now()): void {
    const place = this.#nextPlace(timeMs);
    this.#seldom[place] = { event, detail };
    this.#tellFollowers();
  }

  /** A path event; or a path command, and whether it was carried out. Thousands come in a second. */
  addPath(message: PathMessage, done?: boolean): void {
    const place = this.#nextPlace(Date.now());
    this.#seldom[place] = undefined;
    writePathRecord(this.#records, place * PATH_RECORD_BYTES, message);
    this.#outcomes[place] = done === undefined ? UNSAID : done ? DONE : REFUSED;
    this.#tellFollowers();
  }

  /** A ring by position: nothing is moved when it is full. */
  #nextPlace(timeMs: number): number {
    const place = this.#sequence % this.#capacity;
    this.#sequence += 1;
    this.#timesMs[place] = timeMs;
    return place;
  }

  #tellFollowers(): void {
    if (this.#followers.size === 0) return;
    const event = this.#shown(this.#sequence);
    for (const follower of this.#followers) follower(event);
  }

  /** The kept events with a number above `sequence`, oldest first. */
  since(sequence: number): LoggedEvent[] {
    const first = Math.max(sequence, this.#sequence - this.#capacity, 0);
    return Array.from({ length: Math.max(0, this.#sequence - first) }, (_, index) => this.#shown(first + index + 1));
  }

  #shown(sequence: number): LoggedEvent {
    const place = (sequence - 1) % this.#capacity;
    const { event, detail } = this.#seldom[place] ?? this.#pathEvent(place);
    return { ...detail(), sequence, time: new Date(this.#timesMs[place] ?? 0).toISOString(), event };
  }

  #pathEvent(place: number): KeptEvent {
    const message = readPathRecord(this.#records, place * PATH_RECORD_BYTES);
    const outcome = this.#outcomes[place];
    const shown = describePathMessage(message);
    return { event: message.type, detail: () => (outcome === UNSAID ? shown : { ...shown, done: outcome === DONE }) };
  }

  /** Calls back with every event from now on; gives what ends that. */
  follow(follower: (event: LoggedEvent) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }
}
