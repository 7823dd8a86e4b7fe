/**
 * All uplinks at once: a subflow from every usable uplink address of the peer's family (RFC 8041 section 2.2, "full").
 * Those over an uplink that is degraded or has used its quota up are backup while another one is fine.
 */
import { isDemoted } from "../uplink-preference.ts";
import type { SubflowPolicy } from "./path-manager.ts";
import { oneEach } from "./selection.ts";

export const aggregate: SubflowPolicy = {
  name: "aggregate",
  wanted: (connection, { uplinks }) => oneEach(connection, uplinks, (local) => isDemoted(local, uplinks)),
};
