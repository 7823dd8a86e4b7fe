/**
 * Over which uplink a connection is tried, and for how long (RFC 8041 section 3.10): the preferred one first, then the
 * next one, before the gateway or the server counts as unreachable. Pure.
 *
 * An uplink is blamed only when another one reached what it did not. Until something is reached over it again it is
 * the last choice for everybody, but never excluded: it may be the only one that works for some destination.
 */
import { equalBytes } from "@hybrid-access/core/base/bytes";
import type { Family, IpAddress } from "@hybrid-access/core/base/ip-address";

/** An uplink as a worker sees it: where connections leave from. The preferred one comes first. */
export interface UplinkSource {
  readonly name: string;
  /** Its place in the configuration, which is that of its state in shared memory. */
  readonly index: number;
  readonly ipv4?: IpAddress;
  readonly ipv6?: IpAddress;
}

/** Whether connections get through an uplink, one word for each uplink and family. */
export const UPLINK_PASSES = 0;
export const UPLINK_SILENT = 1;

/** Where the word of an uplink and family stands. */
export function uplinkStateIndex(uplink: number, family: Family): number {
  return 2 * uplink + (family === "ipv4" ? 0 : 1);
}

/**
 * The uplink for the next attempt: of those with an address of this family that have not failed, the first that passes,
 * or else the first. Undefined when all have failed, or none has such an address.
 */
export function chooseUplink(
  sources: readonly UplinkSource[],
  family: Family,
  failed: readonly number[],
  passes: (source: UplinkSource) => boolean,
): UplinkSource | undefined {
  const candidates = sources.filter((source) => source[family] !== undefined && !failed.includes(source.index));
  return candidates.find(passes) ?? candidates[0];
}

/** "the next": nothing came back over the ones before; "kernel": no uplink has an address of the family. */
export type UplinkReason = "preferred" | "others are silent" | "the next" | "kernel";

/** Why {@link chooseUplink} gave `chosen`. */
export function whyUplink(
  sources: readonly UplinkSource[],
  family: Family,
  failed: readonly number[],
  chosen: UplinkSource | undefined,
): UplinkReason {
  if (chosen === undefined) return "kernel";
  if (failed.length > 0) return "the next";
  return sources.find((source) => source[family] !== undefined) === chosen ? "preferred" : "others are silent";
}

/** How long one attempt may take so that all uplinks together take no longer than `budgetMs`. */
export function attemptMs(budgetMs: number, sources: readonly UplinkSource[], family: Family): number {
  return budgetMs / Math.max(1, sources.filter((source) => source[family] !== undefined).length);
}

/** A worker's view of the uplinks: their addresses, and the words it shares with all other threads. */
export class UplinkChoice {
  readonly #states: Int32Array;
  sources: readonly UplinkSource[];

  constructor(memory: SharedArrayBuffer, sources: readonly UplinkSource[]) {
    this.#states = new Int32Array(memory);
    this.sources = sources;
  }

  /** Whether connections that left over `uplink` are still at home there. */
  has(family: Family, uplink: UplinkSource | undefined): boolean {
    const now = this.sources.find(({ index }) => index === uplink?.index)?.[family];
    const then = uplink?.[family];
    return now !== undefined && then !== undefined && equalBytes(now, then);
  }

  /** Whether one is left for this family beside those that have failed and the one that is tried. */
  isOtherLeft(family: Family, failed: readonly number[], tried: UplinkSource | undefined): boolean {
    return tried !== undefined && this.next(family, [...failed, tried.index]) !== undefined;
  }

  /** {@link chooseUplink} for connections to an address of this family. */
  next(family: Family, failed: readonly number[]): UplinkSource | undefined {
    return chooseUplink(this.sources, family, failed, ({ index }) => {
      return Atomics.load(this.#states, uplinkStateIndex(index, family)) === UPLINK_PASSES;
    });
  }

  /** Why {@link next} gave `chosen`. */
  why(family: Family, failed: readonly number[], chosen: UplinkSource | undefined): UplinkReason {
    return whyUplink(this.sources, family, failed, chosen);
  }

  attemptMs(family: Family, budgetMs: number): number {
    return attemptMs(budgetMs, this.sources, family);
  }

  /** Something was reached over `uplink` and not over `failed`; gives those that were blamed. */
  judge(family: Family, uplink: UplinkSource, failed: readonly number[]): UplinkSource[] {
    this.#set(uplink, family, UPLINK_PASSES);
    const blamed = this.sources.filter(({ index }) => failed.includes(index));
    for (const source of blamed) this.#set(source, family, UPLINK_SILENT);
    return blamed;
  }

  #set({ index }: UplinkSource, family: Family, state: number): void {
    Atomics.store(this.#states, uplinkStateIndex(index, family), state);
  }
}
