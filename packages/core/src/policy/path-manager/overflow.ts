/**
 * Cheapest first: a dearer uplink joins a connection only while all cheaper ones together are full, and leaves it when
 * they are not. Uplinks of equal cost are one tier. One that is degraded or has used its quota up does not join at all
 * while a better one is there: it would be backup, and take nothing off a full uplink.
 */
import { isDemoted } from "../uplink-preference.ts";
import type { SubflowPolicy } from "./path-manager.ts";
import { cheapest, oneEach, reaching } from "./selection.ts";

export const overflow: SubflowPolicy = {
  name: "overflow",
  wanted(connection, { uplinks, isFull }) {
    const usable = reaching(connection, uplinks).filter((local, _index, all) => !isDemoted(local, all));
    let used = cheapest(usable);
    while (used.length < usable.length && isFull(new Set(used.map(({ uplink }) => uplink)))) {
      used = [...used, ...cheapest(usable.slice(used.length))];
    }
    const [first] = used;
    return oneEach(connection, used).map((want) => {
      return want.local.cost === first?.cost ? want : { ...want, reason: "load" };
    });
  },
};
