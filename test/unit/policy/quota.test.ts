import { countedBytes, periodStartMs, type Quota } from "@hybrid-access/core/policy/quota";
import { expect } from "chai";
import fc from "fast-check";

function quota(resetDay: number, timeZone: string): Quota {
  return { bytes: 1, direction: "both", resetDay, timeZone, warnAt: [], whenUsed: "backup" };
}

const DAY_MS = 86_400_000;

/** Reset day, zone, now, and the period's first moment. */
const CASES = [
  [1, "UTC", "2026-03-15T12:00:00Z", "2026-03-01T00:00:00Z"],
  [15, "UTC", "2026-03-14T23:59:59Z", "2026-02-15T00:00:00Z"],
  [15, "UTC", "2026-03-15T00:00:00Z", "2026-03-15T00:00:00Z"],
  [20, "UTC", "2026-01-05T00:00:00Z", "2025-12-20T00:00:00Z"],
  // Short months: the last day stands in.
  [31, "UTC", "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z"],
  [31, "UTC", "2026-02-27T23:59:59Z", "2026-01-31T00:00:00Z"],
  [30, "UTC", "2028-02-29T01:00:00Z", "2028-02-29T00:00:00Z"],
  [31, "UTC", "2026-03-30T00:00:00Z", "2026-02-28T00:00:00Z"],
  // Summer time begins on 2026-03-29 in Berlin, and ends on 2026-10-25.
  [29, "Europe/Berlin", "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z"],
  [30, "Europe/Berlin", "2026-03-30T10:00:00Z", "2026-03-29T22:00:00Z"],
  [26, "Europe/Berlin", "2026-10-26T10:00:00Z", "2026-10-25T23:00:00Z"],
  [1, "Europe/Berlin", "2026-06-30T22:30:00Z", "2026-06-30T22:00:00Z"],
  // Days without a midnight, and with two of them.
  [4, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z"],
  [1, "America/Havana", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z"],
  [1, "Pacific/Kiritimati", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"],
] as const;

describe("the period of a quota", () => {
  for (const [day, zone, now, start] of CASES) {
    it(`resets on day ${day} in ${zone}: at ${now} it began at ${start}`, () => {
      expect(new Date(periodStartMs(quota(day, zone), Date.parse(now))).toISOString()).to.equal(
        new Date(start).toISOString(),
      );
    });
  }

  it("began before now, not longer ago than a month and a day, and has one start for all of its moments", () => {
    const zones = fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu");
    const moments = fc.integer({ min: Date.parse("2000-01-01"), max: Date.parse("2040-01-01") });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 31 }), zones, moments, (day, zone, nowMs) => {
        const startMs = periodStartMs(quota(day, zone), nowMs);
        expect(startMs).to.be.within(nowMs - 32 * DAY_MS, nowMs);
        expect(periodStartMs(quota(day, zone), startMs)).to.equal(startMs);
        expect(periodStartMs(quota(day, zone), startMs - 1)).to.be.lessThan(startMs);
      }),
    );
  });

  it("counts what its direction says", () => {
    const counted = (direction: Quota["direction"]) => countedBytes({ ...quota(1, "UTC"), direction }, 100, 7);
    expect([counted("down"), counted("up"), counted("both")]).to.deep.equal([100, 7, 107]);
  });
});
