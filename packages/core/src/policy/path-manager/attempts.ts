/** Attempts to open subflows between one pair of addresses that have not succeeded. */
import type { IpAddress } from "../../base/ip-address.ts";
import type { Random } from "../../base/random.ts";
import { retryDelayMs } from "./back-off.ts";

/** An attempt that nothing was heard of, longer than the kernel tries (tcp_syn_retries 6 takes 127 s). */
export const OPENING_LIMIT_MS = 150_000;

export class Attempts {
  readonly local: IpAddress;
  /** How many are under way, and with which priority. */
  opening = 0;
  backup = false;
  /** When the last one was made. */
  beganMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  /** No further attempt before. */
  retryMs = 0;
  /** What the next attempt has waited for; undefined when it need not wait. */
  waitsFor: "repair" | "limit" | undefined;
  /** When attempts that nothing was heard of are given up; infinite without any. */
  expireMs = Number.POSITIVE_INFINITY;

  constructor(local: IpAddress) {
    this.local = local;
  }

  begin(backup: boolean, nowMs: number): void {
    this.opening += 1;
    this.backup = backup;
    this.beganMs = nowMs;
    this.expireMs = nowMs + OPENING_LIMIT_MS;
  }

  /** One that was under way has become a subflow. */
  succeed(): void {
    this.opening -= 1;
    this.#failures = 0;
    this.waitsFor = undefined;
  }

  /**
   * A subflow was lost, or an attempt failed that is not counted in {@link opening} any more ("repair"), or there was no
   * room for one: waits before the next.
   */
  postpone(waitsFor: "repair" | "limit", nowMs: number, random: Random): void {
    this.waitsFor = waitsFor;
    this.#failures += 1;
    this.retryMs = nowMs + retryDelayMs(this.#failures, random);
    if (this.opening === 0) this.expireMs = Number.POSITIVE_INFINITY;
  }

  /** The next one may be made at once, whatever failed earlier. */
  forgive(): void {
    this.#failures = 0;
    this.retryMs = 0;
    this.waitsFor = undefined;
  }

  /**
   * When something is to be done about these. A wait that is over and was not used is for a subflow that nobody wants
   * now: infinite.
   */
  dueMs(nowMs: number): number {
    const waitMs = this.opening === 0 ? this.retryMs : this.expireMs;
    return waitMs > nowMs ? waitMs : Number.POSITIVE_INFINITY;
  }
}
