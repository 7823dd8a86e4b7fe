/** splice(2) and pipes: bytes that move between sockets without passing through this process's memory. */
import { resultOf } from "./errno.ts";
import { libc } from "./libc.ts";

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;
const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;

/** Both ends of a pipe. */
export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/**
 * Opens a non-blocking pipe. It holds `capacityBytes`, or less where the kernel does not allow that much
 * (/proc/sys/fs/pipe-user-pages-soft). Undefined when there are no descriptors left.
 */
export function openPipe(capacityBytes: number): Pipe | undefined {
  const fds = new Int32Array(2);
  if (libc.pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) return undefined;
  const [readEnd = -1, writeEnd = -1] = fds;
  libc.fcntl(writeEnd, F_SETPIPE_SZ, capacityBytes);
  return { readEnd, writeEnd };
}

/** Moves up to `length` bytes; one end must be a pipe. The number moved, 0 at the end of the stream, or minus errno. */
export function splice(from: number, to: number, length: number): number {
  return resultOf(libc.splice(from, null, to, null, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}
