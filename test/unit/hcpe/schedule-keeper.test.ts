import type { Schedule } from "@hybrid-access/core/policy/schedule";
import { DAYS } from "@hybrid-access/core/policy/schedule";
import { createLogger } from "@hybrid-access/core/services/log";
import { ScheduleKeeper } from "@hybrid-access/hcpe/schedule-keeper";
import { expect } from "chai";

const LOG = createLogger("test", "silent" as "error");
const NIGHT: Schedule = { name: "night", from: 22 * 60, to: 6 * 60, days: DAYS, timeZone: "Europe/Berlin" };
const WORK: Schedule = { name: "work", from: 5 * 60, to: 17 * 60, days: DAYS, timeZone: "Europe/Berlin" };
const at = (text: string) => Date.parse(`2026-01-15T${text}:00Z`);

describe("hcpe/schedule-keeper", () => {
  const changes: string[] = [];
  const keeperAt = (time: string) =>
    new ScheduleKeeper(
      { schedules: [NIGHT, WORK], log: LOG, onChange: (inForce) => changes.push(inForce.join(" ")) },
      at(time),
    );

  beforeEach(() => {
    changes.length = 0;
  });

  it("knows from the start what is in force, and tells each change once", () => {
    const keeper = keeperAt("20:30");
    expect(keeper.inForce).to.deep.equal([]);
    for (const time of ["20:59", "21:00", "21:01", "23:00"]) keeper.look(at(time));
    expect(changes).to.deep.equal(["night"]);
    expect(keeper.status()).to.deep.equal([
      { name: "night", inForce: true },
      { name: "work", inForce: false },
    ]);
  });

  it("follows the clock wherever it is set to", () => {
    const keeper = keeperAt("03:30");
    for (const time of ["04:00", "05:00", "21:30", "12:00"]) keeper.look(at(time));
    expect(changes).to.deep.equal(["night work", "work", "night", "work"]);
  });

  it("has new schedules after a reload", () => {
    const keeper = keeperAt("22:00");
    keeper.configure([WORK], at("22:00"));
    expect(keeper.inForce).to.deep.equal([]);
    keeper.look(at("22:01"));
    expect(changes).to.deep.equal([]);
  });
});
