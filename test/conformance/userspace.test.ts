import { LabBench } from "./lab-bench.ts";
import { describeConformance } from "./suite.ts";

describeConformance("the userspace engine", () => LabBench.up("userspace", "userspace"));
