/**
 * One uplink at a time, the preferred one; nothing at all is sent over the others. When it fails the connection
 * goes on over the next one: break before make (RFC 8041 section 2.2).
 */
import type { SubflowPolicy } from "./path-manager.ts";
import { oneEach, reaching } from "./selection.ts";

export const singlePath: SubflowPolicy = {
  name: "single-path",
  wanted: (connection, { uplinks }) => oneEach(connection, reaching(connection, uplinks).slice(0, 1)),
};
