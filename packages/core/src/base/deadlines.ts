/** Named timers as a table of deadlines, so that who drives them needs one timer only. */

/** At most one deadline for each name. For a handful of names: an idle connection's table takes next to no memory. */
export class Deadlines<Name extends string> {
  readonly #names: Name[] = [];
  readonly #times: number[] = [];

  set(name: Name, atMs: number): void {
    const index = this.#names.indexOf(name);
    if (index >= 0) this.#times[index] = atMs;
    else {
      this.#names.push(name);
      this.#times.push(atMs);
    }
  }

  /** Sets the timer unless it runs already. */
  setIfIdle(name: Name, atMs: number): void {
    if (!this.isSet(name)) this.set(name, atMs);
  }

  clear(name: Name): void {
    const index = this.#names.indexOf(name);
    if (index >= 0) this.#remove(index);
  }

  clearAll(): void {
    this.#names.length = 0;
    this.#times.length = 0;
  }

  isSet(name: Name): boolean {
    return this.#names.includes(name);
  }

  /** When the first one is due, or undefined. */
  get nextMs(): number | undefined {
    let next: number | undefined;
    for (const atMs of this.#times) if (next === undefined || atMs < next) next = atMs;
    return next;
  }

  /** Takes one that is due, whichever, or undefined. */
  takeDue(nowMs: number): Name | undefined {
    const index = this.#times.findIndex((atMs) => atMs <= nowMs);
    const name = this.#names[index];
    if (name !== undefined) this.#remove(index);
    return name;
  }

  #remove(index: number): void {
    this.#names.splice(index, 1);
    this.#times.splice(index, 1);
  }
}
