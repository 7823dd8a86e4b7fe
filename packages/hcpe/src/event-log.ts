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

export class EventLog {
  readonly #capacity: number;
  readonly #events: LoggedEvent[] = [];
  readonly #followers = new Set<(event: LoggedEvent) => void>();
  #sequence = 0;

  /** Keeps the last `capacity` events. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(event: string, detail: Readonly<Record<string, unknown>>, time = new Date()): void {
    this.#sequence += 1;
    const logged = { ...detail, sequence: this.#sequence, time: time.toISOString(), event };
    // A ring by position: nothing is moved when it is full.
    this.#events[(this.#sequence - 1) % this.#capacity] = logged;
    for (const follower of this.#followers) follower(logged);
  }

  /** The kept events with a number above `sequence`, oldest first. */
  since(sequence: number): LoggedEvent[] {
    const first = Math.max(sequence, this.#sequence - this.#capacity, 0);
    return Array.from(
      { length: Math.max(0, this.#sequence - first) },
      (_, index) => this.#events[(first + index) % this.#capacity] as LoggedEvent,
    );
  }

  /** Calls back with every event from now on; gives what ends that. */
  follow(follower: (event: LoggedEvent) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }
}
