/** Named timers as a table of deadlines, so that who drives them needs one timer only. */

/** At most one deadline for each name. */
export class Deadlines<Name extends string> {
  readonly #deadlines = new Map<Name, number>();

  set(name: Name, atMs: number): void {
    this.#deadlines.set(name, atMs);
  }

  /** Sets the timer unless it runs already. */
  setIfIdle(name: Name, atMs: number): void {
    if (!this.#deadlines.has(name)) this.#deadlines.set(name, atMs);
  }

  clear(name: Name): void {
    this.#deadlines.delete(name);
  }

  clearAll(): void {
    this.#deadlines.clear();
  }

  isSet(name: Name): boolean {
    return this.#deadlines.has(name);
  }

  /** When the first one is due, or undefined. */
  get nextMs(): number | undefined {
    let next: number | undefined;
    for (const atMs of this.#deadlines.values()) if (next === undefined || atMs < next) next = atMs;
    return next;
  }

  /** Takes one that is due, whichever, or undefined. */
  takeDue(nowMs: number): Name | undefined {
    for (const [name, atMs] of this.#deadlines) {
      if (atMs > nowMs) continue;
      this.#deadlines.delete(name);
      return name;
    }
    return undefined;
  }
}
