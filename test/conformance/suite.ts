/** The conformance suite over any two hosts. */
import type { Capabilities } from "@hybrid-access/core/engine/engine";
import type { Bench, Check } from "./bench.ts";
import { ENGINE_CHECKS } from "./engine-checks.ts";
import { PATH_CHECKS } from "./path-checks.ts";

/** Why a check cannot be made here, or undefined. */
function missing({ needs = [] }: Check, capabilities: readonly Capabilities[]): string | undefined {
  for (const name of needs) {
    for (const { [name]: capability } of capabilities) if (!capability.available) return capability.reason;
  }
  return undefined;
}

/** A bench that was made for a suite. */
export interface OwnBench extends Bench {
  down(): Promise<void>;
}

/** Something that goes on beside the checks, such as a capture. */
export interface Beside<Kind extends OwnBench> {
  /** Of the test that {@link Beside.begin} gives. */
  readonly name: string;
  /** Begins it. What it gives is the last test. */
  begin(bench: Kind): Promise<() => Promise<void>>;
}

/** Describes every check over the bench that `up` makes. */
export function describeConformance<Kind extends OwnBench>(
  title: string,
  up: () => Promise<Kind>,
  beside?: Beside<Kind>,
): void {
  describe(title, function () {
    this.timeout(20_000);
    let bench: Kind;
    let finish = async () => {};

    before(async () => {
      bench = await up();
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
