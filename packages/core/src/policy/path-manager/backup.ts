/**
 * The preferred uplink carries everything; one subflow over each other uplink is open, in backup mode (MP_PRIO), and
 * carries data only when the preferred one has failed (RFC 8041 section 2.2).
 */
import type { SubflowPolicy } from "./path-manager.ts";
import { cheapest, oneEach, reaching } from "./selection.ts";

export const backup: SubflowPolicy = {
  name: "backup",
  wanted(connection, { uplinks }) {
    const usable = reaching(connection, uplinks);
    const active = cheapest(usable);
    return oneEach(connection, usable, (local) => !active.includes(local));
  },
};
