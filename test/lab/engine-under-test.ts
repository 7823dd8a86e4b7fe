/**
 * Which engine the daemons of end-to-end tests have: the configuration's default, or what HCPE_ENGINE and HAG_ENGINE say,
 * which both daemons read from their environment (npm run test:userspace).
 */
import type { Context } from "mocha";

const OVERRIDES = [process.env.HCPE_ENGINE, process.env.HAG_ENGINE];

/** Whether both daemons have the kernel engine. */
export const IS_KERNEL_TESTED = OVERRIDES.every((name) => name === undefined || name === "kernel");

/** Skips a test of what only the kernel engine does, where another one is under test, and says why. */
export function kernelOnly(test: Context, why: string): void {
  if (IS_KERNEL_TESTED) return;
  process.stdout.write(`      skipped: for the kernel engine alone, ${why}\n`);
  test.skip();
}
