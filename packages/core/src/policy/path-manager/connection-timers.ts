/** When which connection has something to do: one moment for each. */
import { MinHeap } from "../../base/min-heap.ts";
import type { Connection } from "./connection.ts";

/** Timers that were replaced are dropped when there are more of them than connections, and more than so many. */
const FEW_TIMERS = 64;

export class ConnectionTimers {
  readonly #heap = new MinHeap<Connection>();

  /** Those that wait, the ones included that were replaced. */
  get size(): number {
    return this.#heap.size;
  }

  /** Replaces the moment of this connection, of so many; infinite for none. */
  arm(connection: Connection, dueMs: number, connections: number): void {
    if (dueMs === connection.timerMs) return;
    connection.timerMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#heap.push(dueMs, connection);
    // Each keeps its connection in memory: an attempt's is due in 150 s, when most connections have long ended.
    if (this.#heap.size > 2 * connections + FEW_TIMERS) this.#heap.retain((key, { timerMs }) => key === timerMs);
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
