/**
 * Timestamps and protection against wrapped sequence numbers: RFC 7323 sections 3 to 5. The clock ticks once in a
 * millisecond.
 */
import { isBefore } from "../../base/sequence.ts";

/** RFC 7323 section 5.5: after 24 days the peer's clock may have gone round. */
const OUTDATED_MS = 24 * 24 * 3600 * 1000;
const SPACE = 0x1_0000_0000;

export class Timestamps {
  /** TS.Recent, or undefined before the peer's first. */
  #recent: number | undefined;
  #recentAtMs = 0;
  readonly #offset: number;

  /** `offset` is what our clock shows at 0 ms: unpredictable for others (RFC 7323 section 5.4). */
  constructor(offset: number) {
    this.#offset = offset;
  }

  /** TSval. */
  value(nowMs: number): number {
    return (this.#offset + (Math.floor(nowMs) % SPACE)) % SPACE;
  }

  /** TSecr. */
  get echo(): number {
    return this.#recent ?? 0;
  }

  /** When we sent the TSval that `echo` repeats, or undefined when that was not in the last 24 days. */
  sentMs(echo: number, nowMs: number): number | undefined {
    const ageMs = (this.value(nowMs) - echo) >>> 0;
    return ageMs > OUTDATED_MS ? undefined : Math.floor(nowMs) - ageMs;
  }

  /** RFC 7323 section 5.3 R1: whether a segment with this TSval is an old duplicate. */
  isOld(value: number, nowMs: number): boolean {
    if (this.#recent === undefined || !isBefore(value, this.#recent)) return false;
    return nowMs - this.#recentAtMs <= OUTDATED_MS;
  }

  /** RFC 7323 section 4.3 (2) and (3): the caller has looked whether the segment covers what was acknowledged last. */
  update(value: number, nowMs: number): void {
    this.#recent = value;
    this.#recentAtMs = nowMs;
  }
}
