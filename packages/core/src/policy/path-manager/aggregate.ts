/** All uplinks at once: a subflow from every usable uplink address of the peer's family (RFC 8041 section 2.2, "full"). */
import type { SubflowPolicy } from "./path-manager.ts";
import { oneEach } from "./selection.ts";

export const aggregate: SubflowPolicy = {
  name: "aggregate",
  wanted: (connection, { uplinks }) => oneEach(connection, uplinks),
};
