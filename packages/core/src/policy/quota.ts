/** How much an uplink may carry in a month, and when the month begins. Pure; time zones by Intl. */

export interface Quota {
  readonly bytes: number;
  readonly direction: "down" | "up" | "both";
  /** Day of the month, 1 to 31; in a month without it, the last day. */
  readonly resetDay: number;
  /** IANA name. */
  readonly timeZone: string;
  /** Shares of `bytes` at which to warn. */
  readonly warnAt: readonly number[];
  readonly whenUsed: "backup" | "off";
}

/** What of an interface's bytes counts. */
export function countedBytes({ direction }: Quota, receivedBytes: number, sentBytes: number): number {
  return (direction === "up" ? 0 : receivedBytes) + (direction === "down" ? 0 : sentBytes);
}

/** A date of the calendar; month 1 to 12. */
interface CalendarDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/** When the period that `nowMs` is in began: the first moment of its first day, in the quota's time zone. */
export function periodStartMs({ resetDay, timeZone }: Quota, nowMs: number): number {
  const { year, month, day } = localDate(nowMs, timeZone);
  const thisMonth = { year, month, day: Math.min(resetDay, daysOf(year, month)) };
  if (day >= thisMonth.day) return firstMomentMs(thisMonth, timeZone);
  const before = month === 1 ? { year: year - 1, month: 12 } : { year, month: month - 1 };
  return firstMomentMs({ ...before, day: Math.min(resetDay, daysOf(before.year, before.month)) }, timeZone);
}

function daysOf(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

const DAY_MS = 86_400_000;

/**
 * Midnight, where there is one: clocks that go forward at midnight begin the day at one, clocks that go back to it have
 * midnight twice. The zone's offset before and after tells both.
 */
function firstMomentMs(date: CalendarDate, timeZone: string): number {
  const asUtcMs = Date.UTC(date.year, date.month - 1, date.day);
  const candidates = [-DAY_MS, DAY_MS].map((aside) => asUtcMs - offsetMs(asUtcMs + aside, timeZone));
  const inside = candidates.filter((momentMs) => localDate(momentMs, timeZone).day === date.day);
  return Math.min(...inside);
}

/** How far the zone's clocks are ahead of UTC. */
function offsetMs(momentMs: number, timeZone: string): number {
  const field = localFields(momentMs, timeZone);
  const local = Date.UTC(
    field("year"),
    field("month") - 1,
    field("day"),
    field("hour"),
    field("minute"),
    field("second"),
  );
  return local - Math.floor(momentMs / 1000) * 1000;
}

function localDate(momentMs: number, timeZone: string): CalendarDate {
  const field = localFields(momentMs, timeZone);
  return { year: field("year"), month: field("month"), day: field("day") };
}

function localFields(momentMs: number, timeZone: string): (name: Intl.DateTimeFormatPartTypes) => number {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  }).formatToParts(momentMs);
  return (name) => Number(parts.find(({ type }) => type === name)?.value);
}
