/** Bytes over one subflow and over two, with checksums (RFC 8684 section 3.3.1) and without. */
import { expect } from "chai";
import type { LabBench } from "../conformance/lab-bench.ts";
import type { Cell } from "./matrix.ts";
import { bothWays, bothWaysToTheEnd, MEGABYTE, SIDES, sentOver, withEstablished, withTwoSubflows } from "./steps.ts";

/** Linux asks for checksums: one side that wants them is enough. */
async function withChecksums(bench: LabBench, wanted: boolean, use: () => Promise<void>): Promise<void> {
  const [linux] = SIDES.filter((side) => bench[side].engine.name === "kernel");
  if (linux === undefined) throw new Error("no Linux host");
  const set = (value: number) => bench.lab.run(linux, ["sysctl", "-qw", `net.mptcp.checksum_enabled=${value}`]);
  await set(Number(wanted));
  try {
    await use();
  } finally {
    await set(0);
  }
}

export const STREAM_CELLS: readonly Cell[] = [false, true].flatMap((checksums): Cell[] => {
  const how = checksums ? "with checksums" : "without checksums";
  return [
    {
      name: `one subflow, ${how}: 1 MB each way`,
      run: (setting) =>
        withChecksums(setting.bench, checksums, () =>
          withEstablished(setting, (ends) => bothWaysToTheEnd(ends, MEGABYTE)),
        ),
    },
    {
      name: `two subflows, ${how}: 1 MB each way, over both`,
      run: (setting) =>
        withChecksums(setting.bench, checksums, () =>
          withTwoSubflows(setting, async (ends, second) => {
            const before = SIDES.map((side) => sentOver(ends[side], second));
            await bothWays(ends, MEGABYTE);
            for (const [index, side] of SIDES.entries()) {
              expect(sentOver(ends[side], second)).to.be.greaterThan(before[index] ?? 0);
            }
            await bothWaysToTheEnd(ends, 1000);
          }),
        ),
    },
  ];
});
