/** pipe(7) and splice(2): bytes pass from socket to socket inside the kernel. */
import { resultOf } from "./errno.ts";
import { libc, libcByAddress } from "./libc.ts";

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;
const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;
const NO_OFFSET = 0;

/** The descriptors of a pipe. */
export interface PipeEnds {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/**
 * Opens a pipe that holds `bytes`; undefined when the host gives none: descriptors have run out, or pipes of an unprivileged
 * user have all the memory that fs.pipe-user-pages-soft allows them.
 */
export function openPipe(bytes: number): PipeEnds | undefined {
  const ends = new Int32Array(2);
  if (libc.pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) return undefined;
  const [readEnd = -1, writeEnd = -1] = ends;
  if (libc.fcntl(writeEnd, F_SETPIPE_SZ, bytes) >= bytes) return { readEnd, writeEnd };
  libc.close(readEnd);
  libc.close(writeEnd);
  return undefined;
}

/** Moves up to `length` bytes; one of the two is an end of a pipe. How many, 0 at the end of what is read, or minus errno. */
export function splice(from: number, to: number, length: number): number {
  return resultOf(libcByAddress.splice(from, NO_OFFSET, to, NO_OFFSET, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}
