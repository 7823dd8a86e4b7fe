/** A binary heap of values ordered by a number: the next deadline, the next delivery. */

/** Smallest key first; equal keys come out in the order they went in. */
export class MinHeap<Value> {
  #entries: { readonly key: number; readonly order: number; readonly value: Value }[] = [];
  #order = 0;

  get size(): number {
    return this.#entries.length;
  }

  /** The smallest key, or undefined when there is none. */
  get nextKey(): number | undefined {
    return this.#entries[0]?.key;
  }

  /** The value with the smallest key, or undefined when there is none. */
  get next(): Value | undefined {
    return this.#entries[0]?.value;
  }

  push(key: number, value: Value): void {
    this.#entries.push({ key, order: this.#order++, value });
    this.#rise(this.#entries.length - 1);
  }

  /** Takes the value with the smallest key. */
  pop(): Value | undefined {
    const first = this.#entries[0];
    const last = this.#entries.pop();
    if (first === undefined || last === undefined) return undefined;
    if (this.#entries.length > 0) {
      this.#entries[0] = last;
      this.#sink(0);
    }
    return first.value;
  }

  /** Drops what `keep` says no to. Takes as long as sorting what is left. */
  retain(keep: (key: number, value: Value) => boolean): void {
    this.#entries = this.#entries
      .filter(({ key, value }) => keep(key, value))
      .toSorted((left, right) => left.key - right.key || left.order - right.order);
  }

  #before(left: number, right: number): boolean {
    const a = this.#entries[left];
    const b = this.#entries[right];
    if (a === undefined || b === undefined) return false;
    return a.key < b.key || (a.key === b.key && a.order < b.order);
  }

  #swap(left: number, right: number): void {
    const a = this.#entries[left];
    const b = this.#entries[right];
    if (a === undefined || b === undefined) return;
    this.#entries[left] = b;
    this.#entries[right] = a;
  }

  #rise(start: number): void {
    for (let index = start; index > 0; ) {
      const parent = (index - 1) >> 1;
      if (!this.#before(index, parent)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #sink(start: number): void {
    for (let index = start; ; ) {
      let least = index;
      for (const child of [2 * index + 1, 2 * index + 2]) if (this.#before(child, least)) least = child;
      if (least === index) return;
      this.#swap(index, least);
      index = least;
    }
  }
}
