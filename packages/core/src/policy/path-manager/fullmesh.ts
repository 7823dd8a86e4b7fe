/** A subflow between every uplink address and every address of the peer, of one family (RFC 8041 section 3.4). */
import type { SubflowPolicy } from "./path-manager.ts";
import { remoteAddressesFor } from "./selection.ts";

export const fullmesh: SubflowPolicy = {
  name: "fullmesh",
  wanted: (connection, { uplinks }) =>
    uplinks.flatMap((local) =>
      remoteAddressesFor(connection, local).map((remote) => ({ local, remote, backup: false })),
    ),
};
