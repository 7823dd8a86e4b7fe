/** Logs: JSON lines on standard output, for journald and its like. */
import { type Logger, pino } from "pino";

export type { Logger } from "pino";

/** Errors appear under "error" with their code and cause. */
export function createLogger(name: string, level: string): Logger {
  return pino({ name, level, serializers: { error: pino.stdSerializers.err } });
}
