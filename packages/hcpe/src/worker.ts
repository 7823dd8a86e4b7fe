/** Entry of an HCPE's data-plane worker thread. */
import { runWorker } from "@hybrid-access/core/dataplane/worker";
import { Carrier } from "./carrier.ts";
import type { CarrierSetup } from "./carrier-setup.ts";

runWorker<CarrierSetup>(
  (context, setup) => new Carrier(context, setup),
  (engine, setup) => setup.listen.map((endpoint) => engine.listen({ endpoint, protocol: "tcp", transparent: true })),
);
