/** Runs a simulation until nothing happens any more. */
import { LivelockError, type Simulator } from "@hybrid-access/core/testing/simulator/simulator";

/** Longer than every timer: giving up, TIME-WAIT, keepalives. */
const LONGEST_MS = 4 * 3_600_000;

/** What has kept it from coming to rest; undefined when it has. */
export function runToRest(simulator: Simulator): string | undefined {
  try {
    const end = simulator.run({ untilMs: LONGEST_MS });
    return end === "idle" ? undefined : `something still happens after ${LONGEST_MS / 3_600_000} hours`;
  } catch (error) {
    if (error instanceof LivelockError) return error.message;
    throw error;
  }
}
