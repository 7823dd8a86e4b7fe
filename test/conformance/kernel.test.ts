import { describeConformance } from "./suite.ts";

describeConformance("the kernel engine", "kernel", "kernel");
