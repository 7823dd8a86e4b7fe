/**
 * The C library, bound by koffi. The only file that imports koffi: another binding (node:ffi, an addon) would replace
 * this file and nothing else.
 *
 * Every function here is the system call as C knows it: it returns -1 on failure, and {@link lastErrno}, asked at once,
 * says why. Buffers are passed by reference and only for the length of the call.
 */
import koffi from "koffi";

const library = koffi.load(null);

/** Declares one function of the C library by its prototype. koffi knows no ssize_t: `long` stands for it. */
function declare<Signature>(prototype: string): Signature {
  return library.func(prototype) as unknown as Signature;
}

type Bytes = ArrayBufferView | null;

export const libc = {
  bind: declare<(fd: number, address: Bytes, length: number) => number>("int bind(int, const void *, uint32_t)"),
  sendto: declare<
    (fd: number, from: Bytes, length: number, flags: number, address: Bytes, addressLength: number) => number
  >("long sendto(int, const void *, size_t, int, const void *, uint32_t)"),
  socket: declare<(domain: number, type: number, protocol: number) => number>("int socket(int, int, int)"),
  listen: declare<(fd: number, backlog: number) => number>("int listen(int, int)"),
  shutdown: declare<(fd: number, how: number) => number>("int shutdown(int, int)"),
  close: declare<(fd: number) => number>("int close(int)"),
  getsockname: declare<(fd: number, address: Bytes, length: Bytes) => number>("int getsockname(int, void *, void *)"),
  getsockopt: declare<(fd: number, level: number, option: number, value: Bytes, length: Bytes) => number>(
    "int getsockopt(int, int, int, void *, void *)",
  ),
  setsockopt: declare<(fd: number, level: number, option: number, value: Bytes, length: number) => number>(
    "int setsockopt(int, int, int, const void *, uint32_t)",
  ),
  recv: declare<(fd: number, into: Bytes, length: number, flags: number) => number>(
    "long recv(int, void *, size_t, int)",
  ),
  send: declare<(fd: number, from: Bytes, length: number, flags: number) => number>(
    "long send(int, const void *, size_t, int)",
  ),
  read: declare<(fd: number, into: Bytes, length: number) => number>("long read(int, void *, size_t)"),
  write: declare<(fd: number, from: Bytes, length: number) => number>("long write(int, const void *, size_t)"),
  ioctl: declare<(fd: number, request: number, argument: Bytes) => number>("int ioctl(int, unsigned long, void *)"),
  open: declare<(path: string, flags: number) => number>("int open(const char *, int)"),
  pipe2: declare<(ends: Bytes, flags: number) => number>("int pipe2(int *, int)"),
  fcntl: declare<(fd: number, command: number, argument: number) => number>("int fcntl(int, int, int)"),
  epoll_create1: declare<(flags: number) => number>("int epoll_create1(int)"),
  eventfd: declare<(initial: number, flags: number) => number>("int eventfd(unsigned int, int)"),
  timerfd_create: declare<(clock: number, flags: number) => number>("int timerfd_create(int, int)"),
  timerfd_settime: declare<(fd: number, flags: number, value: Bytes, old: Bytes) => number>(
    "int timerfd_settime(int, int, const void *, void *)",
  ),
  setns: declare<(fd: number, type: number) => number>("int setns(int, int)"),
  getrlimit: declare<(resource: number, limit: Bytes) => number>("int getrlimit(int, void *)"),
  setrlimit: declare<(resource: number, limit: Bytes) => number>("int setrlimit(int, const void *)"),
  if_nametoindex: declare<(name: string) => number>("unsigned int if_nametoindex(const char *)"),
} as const;

/** Where a buffer begins in memory: {@link addressOf} as a number. */
export type Address = number;

/**
 * Calls of the data path once more, with buffers by their address: koffi takes a number in a fraction of the time that it
 * takes an array. Whoever passes an address keeps the array referenced, and never transfers it.
 */
export const libcByAddress = {
  bind: declare<(fd: number, address: Address, length: number) => number>("int bind(int, uintptr_t, uint32_t)"),
  connect: declare<(fd: number, address: Address, length: number) => number>("int connect(int, uintptr_t, uint32_t)"),
  getpeername: declare<(fd: number, address: Address, length: Address) => number>(
    "int getpeername(int, uintptr_t, uintptr_t)",
  ),
  sendto: declare<
    (fd: number, from: Address, length: number, flags: number, address: Address, addressLength: number) => number
  >("long sendto(int, uintptr_t, size_t, int, uintptr_t, uint32_t)"),
  getsockname: declare<(fd: number, address: Address, length: Address) => number>(
    "int getsockname(int, uintptr_t, uintptr_t)",
  ),
  getsockopt: declare<(fd: number, level: number, option: number, value: Address, length: Address) => number>(
    "int getsockopt(int, int, int, uintptr_t, uintptr_t)",
  ),
  setsockopt: declare<(fd: number, level: number, option: number, value: Address, length: number) => number>(
    "int setsockopt(int, int, int, uintptr_t, uint32_t)",
  ),
  accept4: declare<(fd: number, address: Address, length: Address, flags: number) => number>(
    "int accept4(int, uintptr_t, uintptr_t, int)",
  ),
  recv: declare<(fd: number, into: Address, length: number, flags: number) => number>(
    "long recv(int, uintptr_t, size_t, int)",
  ),
  send: declare<(fd: number, from: Address, length: number, flags: number) => number>(
    "long send(int, uintptr_t, size_t, int)",
  ),
  read: declare<(fd: number, into: Address, length: number) => number>("long read(int, uintptr_t, size_t)"),
  write: declare<(fd: number, from: Address, length: number) => number>("long write(int, uintptr_t, size_t)"),
  ioctl: declare<(fd: number, request: number, argument: number) => number>("int ioctl(int, unsigned long, uintptr_t)"),
  splice: declare<
    (from: number, fromOffset: Address, to: number, toOffset: Address, length: number, flags: number) => number
  >("long splice(int, uintptr_t, int, uintptr_t, size_t, unsigned int)"),
  epoll_ctl: declare<(epoll: number, operation: number, fd: number, event: Address) => number>(
    "int epoll_ctl(int, int, int, uintptr_t)",
  ),
  epoll_wait: declare<(epoll: number, events: Address, most: number, timeoutMs: number) => number>(
    "int epoll_wait(int, uintptr_t, int, int)",
  ),
} as const;

/** errno of this thread's last failed call; only meaningful at once after it. */
export function lastErrno(): number {
  return koffi.errno();
}

/** The address of a buffer's first byte, for structures that hold pointers. Keep the buffer referenced meanwhile. */
export function addressOf(buffer: ArrayBufferView): bigint {
  return BigInt(koffi.address(buffer));
}

/** The same for {@link libcByAddress}: user space ends below 2^53. */
export function numericAddress(buffer: ArrayBufferView): Address {
  return Number(addressOf(buffer));
}

/** A watch that {@link watchReadable} began. */
export interface Watch {
  /** Says nothing until {@link resume}. */
  pause(): void;
  resume(): void;
  /** Ends it. Does not close the descriptor. */
  stop(): void;
}

/** Handles that libuv polls must stay referenced: a collected one would stop silently. */
const activeWatches = new Set<unknown>();

/** Calls `onReadable` from Node's event loop whenever the descriptor is readable (level-triggered). */
export function watchReadable(fd: number, onReadable: () => void): Watch {
  const handle = koffi.node.poll(fd, { readable: true }, onReadable);
  activeWatches.add(handle);
  return {
    pause: () => handle.stop(),
    resume: () => handle.start({ readable: true }, onReadable),
    stop() {
      if (activeWatches.delete(handle)) handle.close();
    },
  };
}
