/**
 * Mappings between a subflow's bytes and the connection's (RFC 8684 section 3.3.1). Positions: 1 is the first byte of
 * either.
 */

export interface Mapping {
  /** Position in the subflow. */
  readonly start: number;
  readonly end: number;
  /** Position in the connection of what stands at `start`. */
  readonly dataStart: number;
  readonly checksum: number | undefined;
  /** DATA_FIN follows its last byte, and counts in the length that the checksum covers (RFC 8684 section 3.3.3). */
  readonly endsStream?: boolean;
  /** Nobody has said it, so nobody can have said a checksum: that of the data in a SYN (RFC 8684 appendix B.2). */
  readonly isImplicit?: boolean;
}

/** Mappings of what has not arrived, or not been read, that a subflow keeps: one for each segment of a large window. */
export const MOST_MAPPINGS = 8192;

const NO_MAPPINGS: Mapping[] = [];

/** Where `position` of the subflow stands in the connection. */
export function dataPositionOf({ start, dataStart }: Mapping, position: number): number {
  return dataStart + position - start;
}

/** Mappings in the order of the subflow, without overlaps. */
export class MappingList {
  /** {@link NO_MAPPINGS} while there are none. */
  #mappings = NO_MAPPINGS;
  #wasUsed = false;

  /** Whether it has ever had one. */
  get wasUsed(): boolean {
    return this.#wasUsed;
  }

  get size(): number {
    return this.#mappings.length;
  }

  *[Symbol.iterator](): Iterator<Mapping> {
    yield* this.#mappings;
  }

  /** Adds one behind all others. */
  append(mapping: Mapping): void {
    this.#wasUsed = true;
    this.#insert(this.#mappings.length, mapping);
  }

  /** The one that has `position`. */
  find(position: number): Mapping | undefined {
    const mapping = this.#mappings[this.#indexBefore(position)];
    return mapping !== undefined && position < mapping.end ? mapping : undefined;
  }

  /** The first one that has this byte of the connection. */
  findData(position: number): Mapping | undefined {
    return this.#mappings.find(({ start, end, dataStart }) => {
      return dataStart <= position && position < dataStart + end - start;
    });
  }

  /**
   * Adds one that the peer says. "known" when it was there already, "full" when there are {@link MOST_MAPPINGS},
   * "conflict" when it says something else about bytes of which another one has spoken.
   */
  add(mapping: Mapping): "added" | "known" | "full" | "conflict" {
    const before = this.#indexBefore(mapping.start);
    const at = this.#mappings[before];
    if (at !== undefined && mapping.start < at.end) {
      const agrees = dataPositionOf(at, mapping.start) === mapping.dataStart;
      if (!agrees) return "conflict";
      if (mapping.end <= at.end) return "known";
      // It goes on where the known one ends; with checksums neither could be checked.
      return mapping.checksum !== undefined || at.checksum !== undefined
        ? "conflict"
        : this.add(restOf(mapping, at.end));
    }
    const next = this.#mappings[before + 1];
    if (next !== undefined && mapping.end > next.start) {
      const agrees = dataPositionOf(mapping, next.start) === next.dataStart;
      if (!agrees || mapping.checksum !== undefined || next.checksum !== undefined) return "conflict";
      const rest = mapping.end > next.end ? this.add(restOf(mapping, next.end)) : "added";
      return rest === "added" || rest === "known" ? this.add({ ...mapping, end: next.start }) : rest;
    }
    if (this.#mappings.length >= MOST_MAPPINGS) return "full";
    this.#insert(before + 1, mapping);
    return "added";
  }

  #insert(index: number, mapping: Mapping): void {
    if (this.#mappings === NO_MAPPINGS) this.#mappings = [mapping];
    else if (index === this.#mappings.length) this.#mappings.push(mapping);
    else this.#mappings.splice(index, 0, mapping);
  }

  /** Drops those that end at or before `position`. */
  discardTo(position: number): void {
    let count = 0;
    while ((this.#mappings[count]?.end ?? Number.POSITIVE_INFINITY) <= position) count += 1;
    if (count === this.#mappings.length) this.clear();
    else if (count > 0) this.#mappings.splice(0, count);
  }

  clear(): void {
    this.#mappings = NO_MAPPINGS;
  }

  /** Index of the last one that starts at or before `position`, or -1. */
  #indexBefore(position: number): number {
    let low = -1;
    let high = this.#mappings.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#mappings[middle]?.start ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function restOf(mapping: Mapping, from: number): Mapping {
  return { ...mapping, start: from, dataStart: dataPositionOf(mapping, from) };
}
