/**
 * Tokens that a director has seen on the path: the third ACK of a Multipath TCP handshake carries the gateway's key
 * (RFC 8684 section 3.1), and the flow's node is known. Anybody can forge one, so it counts only where the registry names
 * nobody, and who comes first stays: a token is known to others no earlier than its connection. Bounded; the oldest goes.
 */

export class PathLearner {
  readonly #most: number;
  readonly #nodes = new Map<number, string>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Whether this was new. */
  learn(token: number, node: string): boolean {
    if (this.#nodes.has(token)) return false;
    const [oldest] = this.#nodes.keys();
    if (this.#nodes.size >= this.#most && oldest !== undefined) this.#nodes.delete(oldest);
    this.#nodes.set(token, node);
    return true;
  }

  find(token: number): string | undefined {
    return this.#nodes.get(token);
  }

  get size(): number {
    return this.#nodes.size;
  }
}
