/**
 * Cheapest first: a dearer uplink joins a connection only while all cheaper ones together are full, and leaves it when
 * they are not. Uplinks of equal cost are one tier.
 */
import type { SubflowPolicy } from "./path-manager.ts";
import { cheapest, oneEach, reaching } from "./selection.ts";

export const overflow: SubflowPolicy = {
  name: "overflow",
  wanted(connection, { uplinks, isFull }) {
    const usable = reaching(connection, uplinks);
    let used = cheapest(usable);
    while (used.length < usable.length && isFull(new Set(used.map(({ uplink }) => uplink)))) {
      used = [...used, ...cheapest(usable.slice(used.length))];
    }
    return oneEach(connection, used);
  },
};
