/** What happened to gateways, uplinks and subflows lately: a bounded ring of numbered events, and its followers. */

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

/** An event as it is kept: most are never shown. */
interface KeptEvent {
  readonly sequence: number;
  readonly timeMs: number;
  readonly event: string;
  readonly detail: () => EventDetail;
}

export class EventLog {
  readonly #capacity: number;
  readonly #events: KeptEvent[] = [];
  readonly #followers = new Set<(event: LoggedEvent) => void>();
  #sequence = 0;

  /** Keeps the last `capacity` events. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** `detail` is asked only when the event is shown, so what it is made from must not change. */
  add(event: string, detail: () => EventDetail, timeMs = Date.now()): void {
    this.#sequence += 1;
    const kept = { sequence: this.#sequence, timeMs, event, detail };
    // A ring by position: nothing is moved when it is full.
    this.#events[(this.#sequence - 1) % this.#capacity] = kept;
    for (const follower of this.#followers) follower(shown(kept));
  }

  /** The kept events with a number above `sequence`, oldest first. */
  since(sequence: number): LoggedEvent[] {
    const first = Math.max(sequence, this.#sequence - this.#capacity, 0);
    return Array.from({ length: Math.max(0, this.#sequence - first) }, (_, index) =>
      shown(this.#events[(first + index) % this.#capacity] as KeptEvent),
    );
  }

  /** Calls back with every event from now on; gives what ends that. */
  follow(follower: (event: LoggedEvent) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }
}

function shown({ sequence, timeMs, event, detail }: KeptEvent): LoggedEvent {
  return { ...detail(), sequence, time: new Date(timeMs).toISOString(), event };
}
