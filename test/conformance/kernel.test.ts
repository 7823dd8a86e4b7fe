import type { Capabilities } from "@hybrid-access/core/engine/engine";
import type { Check } from "./bench.ts";
import { ENGINE_CHECKS } from "./engine-checks.ts";
import { KernelBench } from "./kernel-bench.ts";
import { PATH_CHECKS } from "./path-checks.ts";

/** Why a check cannot be made here, or undefined. */
function missing({ needs = [] }: Check, capabilities: Capabilities): string | undefined {
  return needs.flatMap((name) => {
    const capability = capabilities[name];
    return capability.available ? [] : [capability.reason];
  })[0];
}

describe("the kernel engine", function () {
  this.timeout(20_000);
  let bench: KernelBench;

  before(async () => {
    bench = await KernelBench.up();
  });
  after(async () => await bench?.down());

  for (const check of [...ENGINE_CHECKS, ...PATH_CHECKS]) {
    it(check.name, async function () {
      const reason = missing(check, bench.client.engine.capabilities);
      if (reason !== undefined) {
        process.stdout.write(`      skipped: ${reason}\n`);
        this.skip();
      }
      await check.run(bench);
    });
  }
});
