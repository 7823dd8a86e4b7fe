/** What a director remembers of owners: who had a token or a flow a moment ago, and what nobody had. Bounded both. */

interface Entry {
  /** Undefined: nobody. */
  readonly node: string | undefined;
  readonly untilMs: number;
}

/** Long enough for the subflows that a connection opens at its beginning. */
const KNOWN_MS = 30_000;
/** Shorter than a client's first repetition of a SYN, which must be looked up again. */
const UNKNOWN_MS = 200;

export class OwnerCache {
  readonly #most: number;
  readonly #entries = new Map<string, Entry>();

  /** Keeps at most `most` entries; the oldest goes first. */
  constructor(most: number) {
    this.#most = most;
  }

  /** The node, null when nobody had it a moment ago, undefined when nothing is known. */
  find(key: string, nowMs: number): string | null | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.untilMs <= nowMs) {
      // Who had it once may be all there is to go by (lastOwner).
      if (entry.node === undefined) this.#entries.delete(key);
      return undefined;
    }
    return entry.node ?? null;
  }

  /** Who had it when it was last known, however long ago. */
  lastOwner(key: string): string | undefined {
    return this.#entries.get(key)?.node;
  }

  learn(key: string, node: string | undefined, nowMs: number): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#most) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(key, { node, untilMs: nowMs + (node === undefined ? UNKNOWN_MS : KNOWN_MS) });
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }

  get size(): number {
    return this.#entries.size;
  }
}
