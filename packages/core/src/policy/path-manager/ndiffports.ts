/**
 * Several subflows between one pair of addresses, which differ in their source ports only: for hosts with one address
 * and networks that spread flows over parallel paths by hashing their ports (RFC 8041 sections 2.1 and 3.4).
 */
import type { SubflowPolicy } from "./path-manager.ts";
import { oneEach, reaching } from "./selection.ts";

/** `count` includes the initial subflow. */
export function ndiffports(count: number): SubflowPolicy {
  return {
    name: "ndiffports",
    wanted: (connection, { uplinks }) =>
      oneEach(connection, reaching(connection, uplinks).slice(0, 1)).map((subflow) => ({ ...subflow, count })),
  };
}
