/** Times of the week at which other rules hold. Pure; time zones by Intl. */
import { localFields } from "./local-time.ts";

/** In the order of Date.getUTCDay(). */
export const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

export type Day = (typeof DAYS)[number];

export interface Schedule {
  readonly name: string;
  /** Minutes of the day that clocks show; the first one inside. */
  readonly from: number;
  /** The first one outside. Not after `from`: on the next day, so that equal ones are a whole day. */
  readonly to: number;
  /** Days on which it begins. */
  readonly days: readonly Day[];
  /** IANA name. */
  readonly timeZone: string;
}

/**
 * Whether the clocks of the zone show a time inside. So where they are put forward over a beginning it begins late; where
 * they are put back, what they show twice is inside twice.
 */
export function isInForce({ from, to, days, timeZone }: Schedule, nowMs: number): boolean {
  const field = localFields(nowMs, timeZone);
  const minute = 60 * field("hour") + field("minute");
  const today = new Date(Date.UTC(field("year"), field("month") - 1, field("day"))).getUTCDay();
  const beginsOn = (weekday: number) => days.includes(DAYS[weekday] ?? "sun");
  if (from < to) return minute >= from && minute < to && beginsOn(today);
  const yesterday = (today + 6) % 7;
  return (minute >= from && beginsOn(today)) || (minute < to && beginsOn(yesterday));
}
