/** The userspace engine with Linux as its peer: the conformance suite, whose two hosts are not of a kind. */
import { describeConformance } from "../conformance/suite.ts";

describeConformance("a userspace client and a Linux server", "userspace", "kernel");
describeConformance("a Linux client and a userspace server", "kernel", "userspace");
