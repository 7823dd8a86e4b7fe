/** What clocks and calendars of a time zone show. Pure; time zones by Intl. */

/** The number in each field of date and time at a moment: year, month 1 to 12, day, hour 0 to 23, minute, second. */
export function localFields(momentMs: number, timeZone: string): (name: Intl.DateTimeFormatPartTypes) => number {
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
