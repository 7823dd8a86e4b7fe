/** Says what this host lacks of what a daemon cannot do without. */
import type { Capability } from "../base/capability.ts";
import { AccessError } from "../base/error.ts";

/** Throws an AccessError with every reason when one of `needed` is not available. */
export function requireCapabilities<Name extends string>(
  capabilities: Readonly<Record<Name, Capability>>,
  needed: readonly Name[],
): void {
  const reasons = needed.flatMap((name) => {
    const capability = capabilities[name];
    return capability.available ? [] : [capability.reason];
  });
  // One lack may take several capabilities away.
  const different = Array.from(new Set(reasons));
  if (different.length > 0) throw new AccessError("HOST_LACKS", "system", different.join("; "));
}
