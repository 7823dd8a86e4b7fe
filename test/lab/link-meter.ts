/** What the uplinks carry right now, measured on the emulated links themselves: whole packets, headers included. */
import type { EmulatorCounters } from "./emulator-protocol.ts";
import type { Lab } from "./lab.ts";
import type { TransferDirection } from "./transfer.ts";
import type { UplinkName } from "./uplinks.ts";

/** By uplink, in bits per second. */
export type UplinkRates = Readonly<Record<UplinkName, number>>;

export class LinkMeter {
  readonly #lab: Lab;
  readonly #direction: TransferDirection;
  #last: EmulatorCounters = {};
  #lastMs = 0;

  constructor(lab: Lab, direction: TransferDirection) {
    this.#lab = lab;
    this.#direction = direction;
  }

  /** The rates since the last call; since the beginning of the lab at the first. */
  async rates(): Promise<UplinkRates> {
    const counters = await this.#lab.linkCounters();
    const nowMs = performance.now();
    const side = this.#direction === "download" ? "backward" : "forward";
    const rate = (uplink: UplinkName) => {
      const bytes = (counters[uplink]?.[side].deliveredBytes ?? 0) - (this.#last[uplink]?.[side].deliveredBytes ?? 0);
      return (bytes * 8000) / (nowMs - this.#lastMs);
    };
    const rates = { dsl: rate("dsl"), lte: rate("lte") };
    this.#last = counters;
    this.#lastMs = nowMs;
    return rates;
  }
}
