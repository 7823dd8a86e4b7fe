/** Entry of an HCPE's data-plane worker thread. */
import { runWorker } from "@hybrid-access/core/dataplane/worker";
import { Carrier, type CarrierSetup } from "./carrier.ts";

runWorker<CarrierSetup>(
  (context, setup) => new Carrier(context, setup),
  (engine, setup) => setup.listen.map((endpoint) => engine.listen({ endpoint, protocol: "tcp", transparent: true })),
);
