/** When which connection has something to do: one moment for each. */
import { MinHeap } from "../../base/min-heap.ts";
import type { Connection } from "./connection.ts";

export class ConnectionTimers {
  readonly #heap = new MinHeap<Connection>();

  /** Replaces the moment of this connection; infinite for none. */
  arm(connection: Connection, dueMs: number): void {
    if (dueMs === connection.timerMs) return;
    connection.timerMs = dueMs;
    if (dueMs !== Number.POSITIVE_INFINITY) this.#heap.push(dueMs, connection);
  }

  /** The next moment of any; undefined without one. */
  get nextMs(): number | undefined {
    // Entries whose time is not their connection's any more were replaced by later ones, or their connection is gone.
    while (this.#heap.next !== undefined && this.#heap.next.timerMs !== this.#heap.nextKey) this.#heap.pop();
    return this.#heap.nextKey;
  }

  /** Takes out those whose moment has come. */
  takeDue(nowMs: number): Connection[] {
    const due: Connection[] = [];
    while ((this.nextMs ?? Number.POSITIVE_INFINITY) <= nowMs) {
      const connection = this.#heap.pop();
      if (connection === undefined) break;
      connection.timerMs = Number.POSITIVE_INFINITY;
      due.push(connection);
    }
    return due;
  }
}
