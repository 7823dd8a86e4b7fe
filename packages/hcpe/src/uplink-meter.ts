/** From counters of interfaces to rates. */
import type { UplinkSample } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { UplinkCounters } from "./path-driver.ts";

export class UplinkMeter {
  #last = new Map<string, UplinkCounters>();
  #lastMs = 0;

  /** The rates since the last reading; none for an uplink that was not there then, or whose counters began anew. */
  read(counters: readonly UplinkCounters[], nowMs: number): UplinkSample[] {
    const elapsedMs = nowMs - this.#lastMs;
    const samples = counters.flatMap(({ uplink, receivedBytes, sentBytes }) => {
      const last = this.#last.get(uplink);
      if (last === undefined || receivedBytes < last.receivedBytes || sentBytes < last.sentBytes) return [];
      const rate = (bytes: number) => (bytes * 8000) / elapsedMs;
      return {
        uplink,
        downBitsPerSecond: rate(receivedBytes - last.receivedBytes),
        upBitsPerSecond: rate(sentBytes - last.sentBytes),
      };
    });
    this.#last = new Map(counters.map((reading) => [reading.uplink, reading]));
    this.#lastMs = nowMs;
    return samples;
  }
}
