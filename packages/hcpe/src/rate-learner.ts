/** What the uplinks' lines carry, learnt while they are full: one entry for each configured uplink. */
import { LearntRate } from "@hybrid-access/core/policy/learnt-rate";
import type { UplinkRate } from "@hybrid-access/core/policy/path-manager/load";
import type { UplinkReading } from "./uplink-monitor.ts";

export class RateLearner {
  readonly #lines = new Map<string, { readonly down: LearntRate; readonly up: LearntRate }>();
  #rates: ReadonlyMap<string, UplinkRate> = new Map();

  /** By uplink, in bits per second; 0 where nothing is known yet. */
  get rates(): ReadonlyMap<string, UplinkRate> {
    return this.#rates;
  }

  /** Takes what was read of an uplink at one look; says whether a rate has changed. */
  add(uplink: string, { interface: carried, traffic }: Pick<UplinkReading, "interface" | "traffic">): boolean {
    if (carried === undefined || traffic === undefined) return false;
    const line = this.#lines.get(uplink) ?? { down: new LearntRate(), up: new LearntRate() };
    this.#lines.set(uplink, line);
    const { sample, leastRttMs } = traffic;
    const { durationMs, down, up } = sample;
    const changed = [
      line.down.add({ durationMs, bitsPerSecond: carried.downBitsPerSecond, rttMs: down.rttMs, leastRttMs }),
      line.up.add({ durationMs, bitsPerSecond: carried.upBitsPerSecond, rttMs: up.rttMs, leastRttMs }),
    ].includes(true);
    if (!changed) return false;
    const rate = { down: line.down.bitsPerSecond, up: line.up.bitsPerSecond };
    this.#rates = new Map([...this.#rates, [uplink, rate]]);
    return true;
  }
}
