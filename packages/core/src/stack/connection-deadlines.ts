/** When which connection is to be called next: one moment for each. */
import { MinHeap } from "../base/min-heap.ts";

/** Moments that were replaced are dropped when there are more of them than connections, and more than so many. */
const FEW_REPLACED = 64;

export class ConnectionDeadlines<Connection> {
  readonly #heap = new MinHeap<Connection>();
  readonly #atMs = new Map<Connection, number>();

  /** Those that wait, the ones included that were replaced. */
  get size(): number {
    return this.#heap.size;
  }

  /** Replaces the moment of a connection; undefined for none. */
  set(connection: Connection, atMs: number | undefined): void {
    if (atMs === undefined) this.#atMs.delete(connection);
    else if (this.#atMs.get(connection) !== atMs) {
      this.#atMs.set(connection, atMs);
      this.#heap.push(atMs, connection);
    }
    // Each keeps its connection in memory: that of a silent peer is due in minutes, when most connections have long ended.
    if (this.#heap.size > 2 * this.#atMs.size + FEW_REPLACED) {
      this.#heap.retain((key, one) => this.#atMs.get(one) === key);
    }
  }

  /** The next moment of any; undefined without one. */
  get nextMs(): number | undefined {
    for (let next = this.#heap.next; next !== undefined; next = this.#heap.next) {
      if (this.#atMs.get(next) === this.#heap.nextKey) break;
      this.#heap.pop();
    }
    return this.#heap.nextKey;
  }

  /** Takes out one whose moment has come. */
  takeDue(nowMs: number): Connection | undefined {
    if ((this.nextMs ?? Number.POSITIVE_INFINITY) > nowMs) return undefined;
    const connection = this.#heap.pop();
    if (connection !== undefined) this.#atMs.delete(connection);
    return connection;
  }
}
