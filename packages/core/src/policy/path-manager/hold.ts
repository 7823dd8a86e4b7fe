/**
 * Connections that get no further subflows yet: what they carry is not known, or they may be short ones, for which a
 * second subflow is opened in vain (PAM2016, RFC 8041 section 2.2).
 */
import type { Connection } from "./connection.ts";
import type { ReconcilerSettings } from "./settings.ts";

type HoldSettings = Pick<ReconcilerSettings, "hold" | "descriptionMs">;

export function isHeld(connection: Connection, settings: HoldSettings, nowMs: number): boolean {
  return nowMs < describedMs(connection, settings) || isShort(connection, settings, nowMs);
}

/** Whether the hold may end by what the connection carries. */
export function waitsForBytes(connection: Connection, settings: HoldSettings, nowMs: number): boolean {
  return settings.hold.bytes > 0 && isShort(connection, settings, nowMs);
}

/** The next moment when {@link isHeld} may change by itself; infinite when there is none. */
export function holdEndsMs(connection: Connection, settings: HoldSettings, nowMs: number): number {
  const momentsMs = [describedMs(connection, settings), connection.establishedMs + settings.hold.ms];
  return Math.min(...momentsMs.filter((momentMs) => momentMs > nowMs));
}

/** When the policy of a connection is known at the latest. */
function describedMs({ flow, establishedMs }: Connection, { descriptionMs }: HoldSettings): number {
  return flow === undefined ? establishedMs + descriptionMs : establishedMs;
}

function isShort({ establishedMs, carriedBytes }: Connection, { hold }: HoldSettings, nowMs: number): boolean {
  if (hold.ms === 0 && hold.bytes === 0) return false;
  const old = hold.ms > 0 && nowMs >= establishedMs + hold.ms;
  const large = hold.bytes > 0 && carriedBytes >= hold.bytes;
  return !old && !large;
}
