/**
 * Whether uplinks are full, judged by what they carry. A set of uplinks is full when one direction carries nearly all of
 * its rate for some time, and no longer when everything that this host carries, dearer uplinks included, would fit into
 * it with room to spare: load that has moved to a dearer uplink is still load. What fits is judged by a longer mean:
 * the bursts of a paced sender do not begin the wait anew.
 */
import type { UplinkSample } from "./path-manager.ts";

/** What an uplink can carry, in bits per second; 0 where it is not known. */
export interface UplinkRate {
  readonly down: number;
  readonly up: number;
}

/** Full: at least this share of the rate, over this time. */
export const FULL_SHARE = 0.9;
export const FULL_MS = 600;
/** No longer full: at most this share over the one time, without a break for the other. */
export const FREE_SHARE = 0.8;
export const FREE_MEAN_MS = 1200;
export const FREE_MS = 1800;

const DIRECTIONS = ["down", "up"] as const;
type Direction = (typeof DIRECTIONS)[number];

interface Reading {
  readonly atMs: number;
  readonly rates: ReadonlyMap<string, UplinkRate>;
}

interface Verdict {
  readonly uplinks: ReadonlySet<string>;
  full: boolean;
  /** Since when the load would fit with room to spare; only while full. */
  freeSinceMs: number | undefined;
}

export class UplinkLoad {
  #configured: ReadonlyMap<string, UplinkRate>;
  #learnt: ReadonlyMap<string, UplinkRate> = new Map();
  /** Of the last {@link FREE_MEAN_MS}, the oldest first. */
  readonly #readings: Reading[] = [];
  #firstMs: number | undefined;
  /** By the names of the uplinks. */
  readonly #verdicts = new Map<string, Verdict>();

  constructor(configured: ReadonlyMap<string, UplinkRate>) {
    this.#configured = configured;
  }

  configure(configured: ReadonlyMap<string, UplinkRate>): void {
    this.#configured = configured;
  }

  /** What uplinks were found to carry; counts where nothing is configured. */
  learn(learnt: ReadonlyMap<string, UplinkRate>): void {
    this.#learnt = learnt;
  }

  /** Takes new samples; says whether {@link isFull} has changed for any set that was asked about. */
  update(samples: readonly UplinkSample[], nowMs: number): boolean {
    const rates = new Map(
      samples.map((sample) => [sample.uplink, { down: sample.downBitsPerSecond, up: sample.upBitsPerSecond }]),
    );
    this.#firstMs ??= nowMs;
    this.#readings.push({ atMs: nowMs, rates });
    while ((this.#readings[0]?.atMs ?? nowMs) <= nowMs - FREE_MEAN_MS) this.#readings.shift();
    let changed = false;
    for (const verdict of this.#verdicts.values()) {
      const before = verdict.full;
      if (verdict.full) this.#judgeFree(verdict, nowMs);
      else this.#judgeFull(verdict, nowMs);
      changed ||= verdict.full !== before;
    }
    return changed;
  }

  /** A set whose rate is not known is never full. */
  isFull(uplinks: ReadonlySet<string>): boolean {
    const key = Array.from(uplinks).toSorted().join(" ");
    const verdict = this.#verdicts.get(key) ?? { uplinks, full: false, freeSinceMs: undefined };
    this.#verdicts.set(key, verdict);
    return verdict.full;
  }

  #judgeFull(verdict: Verdict, nowMs: number): void {
    if (nowMs - (this.#firstMs ?? nowMs) < FULL_MS) return;
    verdict.full = DIRECTIONS.some((direction) => {
      const capacity = this.#capacity(verdict, direction);
      const load = this.#meanLoad(direction, verdict.uplinks, nowMs - FULL_MS);
      return capacity !== undefined && load >= FULL_SHARE * capacity;
    });
    verdict.freeSinceMs = undefined;
  }

  #judgeFree(verdict: Verdict, nowMs: number): void {
    const fits = DIRECTIONS.every((direction) => {
      const capacity = this.#capacity(verdict, direction);
      const load = this.#meanLoad(direction, undefined, nowMs - FREE_MEAN_MS);
      return capacity === undefined || load <= FREE_SHARE * capacity;
    });
    verdict.freeSinceMs = fits ? (verdict.freeSinceMs ?? nowMs) : undefined;
    verdict.full = verdict.freeSinceMs === undefined || nowMs - verdict.freeSinceMs < FREE_MS;
  }

  /** What these uplinks carry together, or undefined where one of them is not known. */
  #capacity({ uplinks }: Verdict, direction: Direction): number | undefined {
    const rates = Array.from(
      uplinks,
      (uplink) => this.#configured.get(uplink)?.[direction] || this.#learnt.get(uplink)?.[direction] || 0,
    );
    return rates.includes(0) ? undefined : rates.reduce((sum, rate) => sum + rate, 0);
  }

  /** The mean over the readings after `fromMs`, in bits per second; of all uplinks when none are named. */
  #meanLoad(direction: Direction, uplinks: ReadonlySet<string> | undefined, fromMs: number): number {
    const readings = this.#readings.filter(({ atMs }) => atMs > fromMs);
    let sum = 0;
    for (const { rates } of readings) {
      for (const [uplink, rate] of rates) if (uplinks?.has(uplink) ?? true) sum += rate[direction];
    }
    return sum / readings.length;
  }
}
