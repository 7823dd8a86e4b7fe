/** Named timers as a table of deadlines, so that who drives them needs one timer only. */

interface Deadline<Name> {
  readonly name: Name;
  atMs: number;
  next: Deadline<Name> | undefined;
}

/** At most one deadline for each name, in the order in which they were set. For a handful of names; none takes no memory. */
export class Deadlines<Name extends string> {
  #first: Deadline<Name> | undefined;

  set(name: Name, atMs: number): void {
    const running = this.#find(name);
    if (running !== undefined) running.atMs = atMs;
    else this.#append({ name, atMs, next: undefined });
  }

  /** Sets the timer unless it runs already. */
  setIfIdle(name: Name, atMs: number): void {
    if (!this.isSet(name)) this.set(name, atMs);
  }

  clear(name: Name): void {
    const running = this.#find(name);
    if (running !== undefined) this.#remove(running);
  }

  clearAll(): void {
    this.#first = undefined;
  }

  isSet(name: Name): boolean {
    return this.#find(name) !== undefined;
  }

  /** When the first one is due, or undefined. */
  get nextMs(): number | undefined {
    let nextMs: number | undefined;
    for (let one = this.#first; one !== undefined; one = one.next)
      if (nextMs === undefined || one.atMs < nextMs) nextMs = one.atMs;
    return nextMs;
  }

  /** Takes one that is due, whichever, or undefined. */
  takeDue(nowMs: number): Name | undefined {
    for (let one = this.#first; one !== undefined; one = one.next) {
      if (one.atMs > nowMs) continue;
      this.#remove(one);
      return one.name;
    }
    return undefined;
  }

  #find(name: Name): Deadline<Name> | undefined {
    for (let one = this.#first; one !== undefined; one = one.next) if (one.name === name) return one;
    return undefined;
  }

  #append(added: Deadline<Name>): void {
    let last = this.#first;
    while (last?.next !== undefined) last = last.next;
    if (last === undefined) this.#first = added;
    else last.next = added;
  }

  #remove(removed: Deadline<Name>): void {
    if (this.#first === removed) this.#first = removed.next;
    else
      for (let one = this.#first; one !== undefined; one = one.next) if (one.next === removed) one.next = removed.next;
  }
}
