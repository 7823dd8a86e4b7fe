/** Entry of a HAG's data-plane worker thread. */
import { runWorker } from "@hybrid-access/core/dataplane/worker";
import { Converter, type ConverterSetup } from "./converter.ts";

runWorker<ConverterSetup>(
  (context, setup) => new Converter(context, setup),
  (engine, { listen, transparent }) =>
    listen.map((endpoint) => engine.listen({ endpoint, protocol: "mptcp", transparent })),
);
