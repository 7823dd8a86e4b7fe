import { SimulatedBench } from "./simulated-bench.ts";
import { describeConformance } from "./suite.ts";

describeConformance("the simulated engine", async () => new SimulatedBench(1));
