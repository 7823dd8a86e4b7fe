/** A middlebox removes options between the userspace engine and Linux (RFC 8684 section 3.7): what becomes of the connection. */
import { OptionStripper, type SegmentKind } from "@hybrid-access/core/testing/middlebox/option-stripper";
import { expect } from "chai";
import { waitFor, withConnection } from "../conformance/bench.ts";
import type { LabBench } from "../conformance/lab-bench.ts";
import { UserspaceHost } from "../conformance/userspace-host.ts";
import { hashOf, pattern } from "../lab/stream.ts";
import type { Cell, Setting } from "./matrix.ts";
import { bothWaysToTheEnd, otherSide, type Side, withEstablished } from "./steps.ts";

const BYTES = 200_000;

function userspaceOf({ client, server }: LabBench): { host: UserspaceHost; side: Side } {
  if (client instanceof UserspaceHost) return { host: client, side: "client" };
  if (server instanceof UserspaceHost) return { host: server, side: "server" };
  throw new Error("no userspace host");
}

/** Multipath TCP's options are removed from these segments, in both directions. */
async function whileStripped(host: UserspaceHost, from: readonly SegmentKind[], use: () => Promise<void>) {
  host.box = new OptionStripper({ options: ["multipath"], from });
  try {
    await use();
  } finally {
    host.box = undefined;
  }
}

interface Stripped {
  readonly where: string;
  readonly from: readonly SegmentKind[];
}

const STRIPPED: readonly Stripped[] = [
  { where: "the SYN", from: ["syn"] },
  { where: "the SYN-ACK", from: ["synAck"] },
  { where: "the third ACK alone", from: ["thirdAck"] },
  { where: "the third ACK and what follows", from: ["thirdAck", "data", "ack"] },
  { where: "data", from: ["data"] },
];

/** Who takes the connection falls back at once where the third ACK has no keys, though the first data has them again. */
async function runStripped({ bench, family }: Setting, { from }: Stripped): Promise<void> {
  const { host, side } = userspaceOf(bench);
  await whileStripped(host, from, () =>
    withConnection(bench, { family }, async (ends) => {
      await bothWaysToTheEnd(ends, BYTES);
      expect(host.engine.isMultipath(ends[side].leg)).to.equal(false);
    }),
  );
}

/** No wrong byte is delivered: the subflow ends, as plain TCP would not be the same stream to both (see fallback.ts). */
async function runStrippedLater(setting: Setting): Promise<void> {
  const { host, side } = userspaceOf(setting.bench);
  await withEstablished(setting, async (ends) => {
    const [near, far] = [ends[side], ends[otherSide(side)]];
    await whileStripped(host, ["data"], async () => {
      const bytes = pattern(BYTES, 6);
      expect(far.host.engine.write(far.leg, bytes, bytes.length)).to.be.greaterThan(0);
      await waitFor(setting.bench, "the end of the subflow", () =>
        host.pathEvents.some(({ type }) => type === "subflowClosed"),
      );
      const come = new Uint8Array(bytes.length);
      const length = Math.max(0, host.engine.read(near.leg, come, come.length));
      expect(hashOf(come.subarray(0, length))).to.equal(hashOf(bytes.subarray(0, length)));
    });
  });
}

export const MIDDLEBOX_CELLS: readonly Cell[] = [
  ...STRIPPED.map(
    (stripped): Cell => ({
      name: `options removed from ${stripped.where}: plain TCP, and every byte`,
      run: (setting) => runStripped(setting, stripped),
    }),
  ),
  { name: "options removed from Linux's data in the middle: a reset, and no wrong byte", run: runStrippedLater },
];
