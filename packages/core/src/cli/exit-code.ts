/** Exit codes of both commands. */
import { AccessError } from "../base/error.ts";

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notRunning: 3,
  /** EX_CONFIG of sysexits.h: starting again will not help. */
  configuration: 78,
} as const;

/** The exit code that tells what kind of failure ended a command. */
export function exitCodeFor(error: unknown): number {
  if (!(error instanceof AccessError)) return EXIT.failed;
  if (error.code === "NOT_RUNNING") return EXIT.notRunning;
  return error.fault === "configuration" ? EXIT.configuration : EXIT.failed;
}
