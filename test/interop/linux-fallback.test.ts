/** A middlebox that removes options between the userspace engine and Linux (RFC 8684 section 3.7): what becomes of the connection. */
import { OptionStripper, type SegmentKind } from "@hybrid-access/core/testing/middlebox/option-stripper";
import { expect } from "chai";
import { type End, waitFor, withConnection } from "../conformance/bench.ts";
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

function userspaceOf({ client, server }: LabBench): UserspaceHost {
  const host = [client, server].find((one) => one instanceof UserspaceHost);
  if (host === undefined) throw new Error("no userspace host");
  return host;
}

function describePair(title: string, client: HostKind, server: HostKind): void {
  describe(title, function () {
    this.timeout(20_000);
    let bench: LabBench;

    before(async () => {
      bench = await LabBench.up(client, server);
    });
    after(async () => await bench?.down());

    it("ends the subflow, and delivers no wrong byte, where options are removed from Linux's data in the middle", () =>
      withConnection(bench, {}, async (ends) => {
        const [near, far] = client === "userspace" ? [ends.client, ends.server] : [ends.server, ends.client];
        const bytes = pattern(3 * BYTES, 6);
        for (const [from, to] of [
          [near, far],
          [far, near],
        ] as const) {
          const reading = to.read(BYTES);
          await from.writeAll(bytes.subarray(0, BYTES));
          expect(hashOf((await reading).bytes)).to.equal(hashOf(bytes.subarray(0, BYTES)));
        }
        const host = userspaceOf(bench);
        host.box = new OptionStripper({ options: ["multipath"], from: ["data"] });
        try {
          const rest = bytes.subarray(BYTES);
          expect(far.host.engine.write(far.leg, rest, rest.length)).to.be.greaterThan(0);
          await waitFor(bench, "the end of the subflow", () =>
            host.pathEvents.some(({ type }) => type === "subflowClosed"),
          );
          const come = new Uint8Array(rest.length);
          const length = Math.max(0, host.engine.read(near.leg, come, come.length));
          expect(hashOf(come.subarray(0, length))).to.equal(hashOf(rest.subarray(0, length)));
        } finally {
          host.box = undefined;
        }
      }));

    for (const [where, from] of WHERE) {
      it(`leaves plain TCP where options are removed from ${where}`, async () => {
        const host = userspaceOf(bench);
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
