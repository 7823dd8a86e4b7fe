import { describeConformance } from "./suite.ts";

describeConformance("the userspace engine", "userspace", "userspace");
