/** The conformance suite over two hosts of a lab. */
import type { Capabilities } from "@hybrid-access/core/engine/engine";
import type { Check } from "./bench.ts";
import { ENGINE_CHECKS } from "./engine-checks.ts";
import { type HostKind, LabBench } from "./lab-bench.ts";
import { PATH_CHECKS } from "./path-checks.ts";

/** Why a check cannot be made here, or undefined. */
function missing({ needs = [] }: Check, capabilities: readonly Capabilities[]): string | undefined {
  for (const name of needs) {
    for (const { [name]: capability } of capabilities) if (!capability.available) return capability.reason;
  }
  return undefined;
}

/** Something that goes on beside the checks, such as a capture. */
export interface Beside {
  /** Of the test that {@link Beside.begin} gives. */
  readonly name: string;
  /** Begins it. What it gives is the last test. */
  begin(bench: LabBench): Promise<() => Promise<void>>;
}

/** Describes every check for a client and a server of these kinds. */
export function describeConformance(title: string, client: HostKind, server: HostKind, beside?: Beside): void {
  describe(title, function () {
    this.timeout(20_000);
    let bench: LabBench;
    let finish = async () => {};

    before(async () => {
      bench = await LabBench.up(client, server);
      if (beside !== undefined) finish = await beside.begin(bench);
    });
    after(async () => await bench?.down());

    for (const check of [...ENGINE_CHECKS, ...PATH_CHECKS]) {
      it(check.name, async function () {
        const reason = missing(check, [bench.client.engine.capabilities, bench.server.engine.capabilities]);
        if (reason !== undefined) {
          process.stdout.write(`      skipped: ${reason}\n`);
          this.skip();
        }
        await check.run(bench);
      });
    }
    if (beside !== undefined) it(beside.name, async () => await finish());
  });
}
