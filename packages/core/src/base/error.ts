/** The root of every error of this project: a stable code, whose fault it is, and what it came from. */

/** Whose fault an error is: our own code's, the peer's, the configuration's, or the system's (kernel, host, a service). */
export type Fault = "local" | "peer" | "configuration" | "system";

export class AccessError extends Error {
  /** Stable and machine-readable, such as "EADDRINUSE" or "CONFIG_INVALID". */
  readonly code: string;
  readonly fault: Fault;

  constructor(code: string, fault: Fault, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "AccessError";
    this.code = code;
    this.fault = fault;
  }
}

/** One line for a log or a terminal, whatever was thrown. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
