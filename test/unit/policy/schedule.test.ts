import { DAYS, type Day, isInForce, type Schedule } from "@hybrid-access/core/policy/schedule";
import { expect } from "chai";
import fc from "fast-check";

const MINUTE_MS = 60_000;
const DAY_MINUTES = 24 * 60;

function minute(text: string): number {
  const [hours = 0, minutes = 0] = text.split(":").map(Number);
  return 60 * hours + minutes;
}

function schedule(from: string, to: string, timeZone: string, days: readonly Day[] = DAYS): Schedule {
  return { name: "s", from: minute(from), to: minute(to), days, timeZone };
}

/** A schedule, a moment, and whether it is in force then. */
const CASES: readonly [Schedule, string, boolean][] = [
  [schedule("08:00", "17:00", "UTC"), "2026-03-02T07:59:59Z", false],
  [schedule("08:00", "17:00", "UTC"), "2026-03-02T08:00:00Z", true],
  [schedule("08:00", "17:00", "UTC"), "2026-03-02T16:59:59Z", true],
  [schedule("08:00", "17:00", "UTC"), "2026-03-02T17:00:00Z", false],
  [schedule("20:00", "24:00", "UTC"), "2026-03-02T23:59:59Z", true],
  [schedule("20:00", "24:00", "UTC"), "2026-03-03T00:00:00Z", false],
  // 2026-03-02 is a Monday. Over midnight it belongs to the day on which it began.
  [schedule("22:00", "06:00", "UTC", ["mon"]), "2026-03-02T05:00:00Z", false],
  [schedule("22:00", "06:00", "UTC", ["mon"]), "2026-03-02T22:00:00Z", true],
  [schedule("22:00", "06:00", "UTC", ["mon"]), "2026-03-03T05:59:59Z", true],
  [schedule("22:00", "06:00", "UTC", ["mon"]), "2026-03-03T22:00:00Z", false],
  [schedule("00:00", "00:00", "UTC", ["sun"]), "2026-03-01T12:00:00Z", true],
  [schedule("00:00", "00:00", "UTC", ["sun"]), "2026-03-02T00:00:00Z", false],
  // Monday here is Sunday there.
  [schedule("20:00", "23:00", "America/New_York", ["sun"]), "2026-03-02T02:00:00Z", true],
  // Summer and winter time in Berlin.
  [schedule("08:00", "09:00", "Europe/Berlin"), "2026-01-15T07:30:00Z", true],
  [schedule("08:00", "09:00", "Europe/Berlin"), "2026-07-15T06:30:00Z", true],
  // 2026-03-29, 02:00 becomes 03:00: what begins in between begins late, what lies in between is left out.
  [schedule("02:30", "04:00", "Europe/Berlin"), "2026-03-29T00:59:59Z", false],
  [schedule("02:30", "04:00", "Europe/Berlin"), "2026-03-29T01:00:00Z", true],
  [schedule("02:10", "02:50", "Europe/Berlin"), "2026-03-29T00:59:59Z", false],
  [schedule("02:10", "02:50", "Europe/Berlin"), "2026-03-29T01:00:00Z", false],
  // 2026-10-25, 03:00 becomes 02:00: what the clocks show twice is inside twice.
  [schedule("02:00", "02:30", "Europe/Berlin"), "2026-10-25T00:15:00Z", true],
  [schedule("02:00", "02:30", "Europe/Berlin"), "2026-10-25T00:45:00Z", false],
  [schedule("02:00", "02:30", "Europe/Berlin"), "2026-10-25T01:15:00Z", true],
  [schedule("02:00", "02:30", "Europe/Berlin"), "2026-10-25T01:30:00Z", false],
];

const timeZone = fc.constantFrom("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe");
/** In 2026 and 2027. */
const moment = fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2028, 0, 1) });
const minuteOfDay = fc.integer({ min: 0, max: DAY_MINUTES - 1 });
const days = fc.subarray([...DAYS], { minLength: 1 });

describe("a schedule", () => {
  for (const [of, now, inForce] of CASES) {
    const at = (minutes: number) => new Date(minutes * MINUTE_MS).toISOString().slice(11, 16);
    it(`from ${at(of.from)} to ${at(of.to)} ${of.timeZone} ${of.days} is ${inForce ? "" : "not "}in force at ${now}`, () => {
      expect(isInForce(of, Date.parse(now))).to.equal(inForce);
    });
  }

  it("and the one for the rest of the day share all of time between them, whatever clocks do", () => {
    fc.assert(
      fc.property(minuteOfDay, minuteOfDay, timeZone, moment, (from, to, zone, nowMs) => {
        fc.pre(from !== to);
        const one = { name: "one", from, to, days: DAYS, timeZone: zone };
        const rest = { name: "rest", from: to, to: from, days: DAYS, timeZone: zone };
        expect(isInForce(one, nowMs)).to.not.equal(isInForce(rest, nowMs));
      }),
      { numRuns: 1000 },
    );
  });

  it("without time zones is what a walk over the minutes of the week gives", () => {
    fc.assert(
      fc.property(minuteOfDay, minuteOfDay, days, moment, (from, to, on, nowMs) => {
        const begins = on.map((day) => DAYS.indexOf(day) * DAY_MINUTES + from);
        const length = to > from ? to - from : to - from + DAY_MINUTES;
        // 1970-01-04 was a Sunday.
        const week = 7 * DAY_MINUTES;
        const now = Math.floor((nowMs - Date.UTC(1970, 0, 4)) / MINUTE_MS) % week;
        const inside = begins.some((begin) => (now - begin + week) % week < length);
        expect(isInForce({ name: "s", from, to, days: on, timeZone: "UTC" }, nowMs)).to.equal(inside);
      }),
      { numRuns: 1000 },
    );
  });
});
