/** What passes a userspace host's devices, as a capture file, and what tshark says of it. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Lab } from "../lab/lab.ts";
import { until } from "../lab/until.ts";
import { faults, KEY_MISMATCH } from "./tshark.ts";

export interface LiveCapture {
  /** Ends it, and hands the file to `use`; it is deleted unless that throws. Without a call it ends with its lab. */
  finish<Result>(use: (file: string) => Result): Promise<Result>;
}

/** Begins to capture at a node's interfaces. */
export async function startCapture(lab: Lab, node: string, interfaces: readonly string[]): Promise<LiveCapture> {
  const folder = mkdtempSync(join(tmpdir(), "hybrid-access-"));
  const file = join(folder, "capture.pcapng");
  const sorted = join(folder, "sorted.pcapng");
  const at = interfaces.flatMap((name) => ["-i", name]);
  // The promise's own files are only readable for their owner: dumpcap keeps root's rights.
  const child = lab.spawn(node, ["dumpcap", "-q", ...at, "-w", file], { stdio: "ignore" });
  await until(() => existsSync(file) && statSync(file).size > 0, { what: "the capture's beginning", limitMs: 5000 });
  return {
    async finish(use) {
      const exited = once(child, "exit");
      child.kill("SIGINT");
      await exited;
      // Each interface's packets are in order, all together are not.
      execFileSync("reordercap", [file, sorted], { stdio: "ignore" });
      const result = use(sorted);
      rmSync(folder, { recursive: true });
      return result;
    },
  };
}

/**
 * Linux writes a checksum of zero as 0xffff where it computes it in software (CSUM_MANGLED_0), as UDP must; for TCP it is
 * the same number, and tshark complains.
 */
const MANGLED_ZERO = "TCP Checksum 0xffff instead of 0x0000";

/** Everything that tshark finds fault with. */
export function faultsOf(file: string): string[] {
  return faults(file, [KEY_MISMATCH]).filter((line) => !line.includes(MANGLED_ZERO));
}
