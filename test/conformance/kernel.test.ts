import { LabBench } from "./lab-bench.ts";
import { describeConformance } from "./suite.ts";

describeConformance("the kernel engine", () => LabBench.up("kernel", "kernel"));
