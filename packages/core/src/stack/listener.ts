/** A port that takes connections: what is half open, and what waits to be accepted. */
import type { MptcpConnection } from "./mptcp/connection.ts";

export interface ListenOptions {
  /** Whether Multipath TCP is answered with Multipath TCP. */
  readonly multipath: boolean;
  /** Whether data in a SYN is taken from who has a cookie (RFC 7413), from everybody, or from nobody. */
  readonly fastOpen: "cookie" | "always" | "never";
  /** Connections that wait to be accepted; of more no SYN is answered. */
  readonly mostWaiting: number;
  /**
   * Connections whose handshake is under way; of more nothing is kept, and SYNs are answered with cookies (RFC 4987).
   */
  readonly mostHalfOpen: number;
}

export const DEFAULT_LISTEN_OPTIONS: ListenOptions = {
  multipath: true,
  fastOpen: "never",
  mostWaiting: 4096,
  mostHalfOpen: 1024,
};

export class Listener {
  readonly options: ListenOptions;
  readonly #halfOpen = new Set<MptcpConnection>();
  readonly #waiting: MptcpConnection[] = [];
  #arrivals = 0;

  constructor(options: ListenOptions) {
    this.options = options;
  }

  get halfOpen(): number {
    return this.#halfOpen.size;
  }

  get isHalfOpenFull(): boolean {
    return this.#halfOpen.size >= this.options.mostHalfOpen;
  }

  get isFull(): boolean {
    return this.#waiting.length >= this.options.mostWaiting;
  }

  /** Connections that could be accepted so far, those that were included. */
  get arrivals(): number {
    return this.#arrivals;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  #arrive(connection: MptcpConnection): void {
    this.#arrivals += 1;
    this.#waiting.push(connection);
  }

  /** The next connection, in the order in which they became established. */
  accept(): MptcpConnection | undefined {
    return this.#waiting.shift();
  }

  /** Takes nothing more; returns what was not accepted. */
  close(): MptcpConnection[] {
    const left = [...this.#halfOpen, ...this.#waiting.splice(0)];
    this.#halfOpen.clear();
    return left;
  }

  /** A SYN was answered. With data that was taken it can be accepted at once. */
  onOpened(connection: MptcpConnection, hasData: boolean): void {
    if (hasData || connection.isConnected) this.#arrive(connection);
    else this.#halfOpen.add(connection);
  }

  /** Something has happened to a connection that may be half open here. Returns whether it still is. */
  update(connection: MptcpConnection): boolean {
    if (!this.#halfOpen.has(connection)) return false;
    if (connection.closeReason === undefined && !connection.isConnected) return true;
    this.#halfOpen.delete(connection);
    if (connection.closeReason === undefined) this.#arrive(connection);
    return false;
  }
}
