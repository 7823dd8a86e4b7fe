/** A middlebox that removes options between the userspace engine and Linux (RFC 8684 section 3.7): what becomes of the connection. */
import { OptionStripper, type SegmentKind } from "@hybrid-access/core/testing/middlebox/option-stripper";
import { expect } from "chai";
import { type End, withConnection } from "../conformance/bench.ts";
import { type HostKind, LabBench } from "../conformance/lab-bench.ts";
import { UserspaceHost } from "../conformance/userspace-host.ts";
import { hashOf, pattern } from "../lab/stream.ts";

const BYTES = 200_000;

/** Sends both ways and ends both streams. */
async function exchange(client: End, server: End): Promise<void> {
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    const bytes = pattern(BYTES, 6);
    const reading = to.read();
    await from.writeAll(bytes);
    from.shutdownWrite();
    const { bytes: come, end } = await reading;
    expect(end).to.equal("end");
    expect(hashOf(come)).to.equal(hashOf(bytes));
  }
}

const WHERE: readonly (readonly [string, readonly SegmentKind[]])[] = [
  ["the SYN", ["syn"]],
  ["the SYN-ACK", ["synAck"]],
  ["the third ACK and what follows", ["thirdAck", "data", "ack"]],
  ["data", ["data"]],
];

function describePair(title: string, client: HostKind, server: HostKind): void {
  describe(title, function () {
    this.timeout(20_000);
    let bench: LabBench;

    before(async () => {
      bench = await LabBench.up(client, server);
    });
    after(async () => await bench?.down());

    for (const [where, from] of WHERE) {
      it(`leaves plain TCP where options are removed from ${where}`, async () => {
        const host = client === "userspace" ? bench.client : bench.server;
        if (!(host instanceof UserspaceHost)) throw new Error("no userspace host");
        host.box = new OptionStripper({ options: ["multipath"], from });
        try {
          await withConnection(bench, {}, async (ends) => {
            await exchange(ends.client, ends.server);
            expect(host.engine.isMultipath(host === bench.client ? ends.client.leg : ends.server.leg)).to.equal(false);
          });
        } finally {
          host.box = undefined;
        }
      });
    }
  });
}

describePair("a middlebox between a userspace client and a Linux server", "userspace", "kernel");
describePair("a middlebox between a Linux client and a userspace server", "kernel", "userspace");
