/** Which schedules are in force: looked at every minute, and told when it changes. */
import { isInForce, type Schedule } from "@hybrid-access/core/policy/schedule";
import type { Logger } from "@hybrid-access/core/services/log";
import { schedule as runAt, type ScheduledTask } from "node-cron";

/** Clocks of all zones show full minutes at the same moments. */
const EVERY_MINUTE = "* * * * *";

export interface ScheduleKeeperOptions {
  readonly schedules: readonly Schedule[];
  readonly log: Logger;
  /** Others are in force now. */
  readonly onChange: (inForce: readonly string[]) => void;
}

export class ScheduleKeeper {
  readonly #options: ScheduleKeeperOptions;
  #schedules: readonly Schedule[];
  #inForce: readonly string[];
  #cron: ScheduledTask | undefined;

  constructor(options: ScheduleKeeperOptions, nowMs: number) {
    this.#options = options;
    this.#schedules = options.schedules;
    this.#inForce = inForceAt(this.#schedules, nowMs);
  }

  /** Begins to follow the clock. */
  start(): void {
    this.#cron = runAt(EVERY_MINUTE, () => this.look(Date.now()), { unref: true });
  }

  /** Names of those in force, in the order of the configuration. */
  get inForce(): readonly string[] {
    return this.#inForce;
  }

  /** Every schedule, and whether it is in force. */
  status(): { name: string; inForce: boolean }[] {
    return this.#schedules.map(({ name }) => ({ name, inForce: this.#inForce.includes(name) }));
  }

  /** Others after a reload; who reloads looks at {@link inForce} itself. */
  configure(schedules: readonly Schedule[], nowMs: number): void {
    this.#schedules = schedules;
    this.#inForce = inForceAt(schedules, nowMs);
  }

  /** Whatever the clock did since the last look: it may also have been set. */
  look(nowMs: number): void {
    const inForce = inForceAt(this.#schedules, nowMs);
    if (inForce.join() === this.#inForce.join()) return;
    this.#inForce = inForce;
    this.#options.log.info({ inForce }, "schedules");
    this.#options.onChange(inForce);
  }

  stop(): void {
    void this.#cron?.destroy();
  }
}

function inForceAt(schedules: readonly Schedule[], nowMs: number): string[] {
  return schedules.filter((schedule) => isInForce(schedule, nowMs)).map(({ name }) => name);
}
