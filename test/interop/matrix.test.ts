/** The matrix of interoperation with Linux: every cell, with either as the client, in IPv4 and IPv6. */
import { expect } from "chai";
import { LabBench } from "../conformance/lab-bench.ts";
import { faultsOf, type LiveCapture, startCapture } from "./live-capture.ts";
import { CELLS, FAMILIES, PAIRINGS } from "./matrix.ts";
import { proofsOf } from "./proofs.ts";

for (const { name, client, server } of PAIRINGS) {
  describe(`interoperation: ${name}`, function () {
    this.timeout(20_000);
    const node = client === "userspace" ? "client" : "server";
    let bench: LabBench;
    let capture: LiveCapture;

    before(async () => {
      bench = await LabBench.up(client, server);
    });
    after(async () => await bench?.down());

    for (const family of FAMILIES) {
      describe(family, () => {
        before(async () => {
          capture = await startCapture(bench.lab, node, ["tun1", "tun2"]);
        });
        beforeEach(() => {
          for (const { pathEvents } of [bench.client, bench.server]) pathEvents.length = 0;
        });

        for (const cell of CELLS) it(cell.name, () => cell.run({ bench, family }));

        it("leaves a capture in which tshark finds no fault, and every token and HMAC is right", () =>
          capture.finish((file) => {
            expect(faultsOf(file)).to.deep.equal([]);
            const { tokens, hmacs, wrong } = proofsOf(file);
            expect(wrong).to.deep.equal([]);
            expect(tokens).to.be.greaterThan(10);
            expect(hmacs).to.be.greaterThan(20);
          }));
      });
    }
  });
}
