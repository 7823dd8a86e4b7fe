/** The userspace engine with Linux as its peer: the conformance suite, whose two hosts are not of a kind. */
import { expect } from "chai";
import { LabBench } from "../conformance/lab-bench.ts";
import { type Beside, describeConformance } from "../conformance/suite.ts";
import { faultsOf, startCapture } from "./live-capture.ts";
import { dissect } from "./tshark.ts";

/** Captures at the userspace host. */
function captureAt(node: "client" | "server"): Beside<LabBench> {
  return {
    name: "leaves a capture in which tshark finds no fault",
    async begin({ lab }) {
      const capture = await startCapture(lab, node, ["tun1", "tun2"]);
      return () =>
        capture.finish((file) => {
          expect(dissect(file, ["frame.number"]).length).to.be.greaterThan(1000);
          expect(faultsOf(file)).to.deep.equal([]);
        });
    },
  };
}

describeConformance(
  "a userspace client and a Linux server",
  () => LabBench.up("userspace", "kernel"),
  captureAt("client"),
);
describeConformance(
  "a Linux client and a userspace server",
  () => LabBench.up("kernel", "userspace"),
  captureAt("server"),
);
