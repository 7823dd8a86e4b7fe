/** Entry of an HCPE's data-plane worker thread. */
import { runWorker } from "@hybrid-access/core/dataplane/worker";
import { Carrier } from "./carrier.ts";
import type { CarrierSetup } from "./carrier-setup.ts";

/**
 * The LAN is near, so that this is enough for a gigabit at 4 ms; the kernel doubles it. What a client sends beyond what its
 * uplinks take then waits at the client, not in the router's memory.
 */
const LAN_RECEIVE_BYTES = 512 * 1024;

runWorker<CarrierSetup>(
  (context, setup) => new Carrier(context, setup),
  (engine, { listen }) =>
    listen.map((endpoint) =>
      engine.listen({ endpoint, protocol: "tcp", transparent: true, receiveBufferBytes: LAN_RECEIVE_BYTES }),
    ),
);
