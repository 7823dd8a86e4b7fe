/** errno values as typed errors. */
import { constants } from "node:os";
import { AccessError } from "../base/error.ts";
import { lastErrno } from "./libc.ts";

/** The errno values this project tells apart, as positive numbers. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EAGAIN: 11,
  EACCES: 13,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EPIPE: 32,
  EPROTONOSUPPORT: 93,
  ENOPROTOOPT: 92,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  EINPROGRESS: 115,
} as const;

/** What a call that would block returns through the functions of socket.ts. */
export const WOULD_BLOCK = -ERRNO.EAGAIN;

/** Names by number. Where Node has two for one (ENOTSUP, EOPNOTSUPP), the one of {@link ERRNO} counts. */
const NAMES = new Map(
  [...Object.entries(constants.errno), ...Object.entries(ERRNO)].map(([name, errno]) => [errno, name]),
);

/** "ECONNREFUSED" for 111; "errno 999" for what this host does not name. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** A failed system call. `code` is the errno's name. */
export class SystemError extends AccessError {
  /** Positive, as in errno(3). */
  readonly errno: number;

  constructor(errno: number, action: string) {
    super(errnoName(errno), "system", `${action}: ${errnoName(errno)}`);
    this.name = "SystemError";
    this.errno = errno;
  }
}

/** Turns C's "-1 and errno" into "minus errno": nothing is thrown, nothing allocated. */
export function resultOf(result: number): number {
  return result < 0 ? -lastErrno() : result;
}

/** Passes a result that is not negative; throws a {@link SystemError} for minus errno. */
export function check(result: number, action: string): number {
  if (result < 0) throw new SystemError(-result, action);
  return result;
}
