/** timerfd(2): a timer with microsecond precision, where Node's own have a millisecond. */
import { check, resultOf } from "./errno.ts";
import { libc } from "./libc.ts";

const CLOCK_MONOTONIC = 1;
const TFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000;

/** A one-shot timer whose descriptor becomes readable when it expires. */
export class TimerDescriptor {
  readonly fd: number = check(resultOf(libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK_CLOEXEC)), "timerfd_create");
  readonly #setting = new BigInt64Array(4);
  readonly #expirations = new BigUint64Array(1);

  /** Expires `delayMs` from now (fractions count); replaces an earlier setting. */
  arm(delayMs: number): void {
    const nanoseconds = Math.max(1000, Math.round(delayMs * 1e6));
    this.#setting[2] = BigInt(Math.floor(nanoseconds / 1e9));
    this.#setting[3] = BigInt(nanoseconds % 1e9);
    check(resultOf(libc.timerfd_settime(this.fd, 0, this.#setting, null)), "timerfd_settime");
  }

  /** Makes the descriptor unreadable again after it expired. */
  clear(): void {
    libc.read(this.fd, this.#expirations, 8);
  }

  close(): void {
    libc.close(this.fd);
  }
}
