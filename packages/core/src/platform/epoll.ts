/** epoll(7) and eventfd(2), shaped for one loop per thread: the events land in one typed array, nothing is allocated. */
import { check, resultOf } from "./errno.ts";
import { libc, libcByAddress, numericAddress } from "./libc.ts";

export const EPOLL = {
  in: 0x1,
  urgent: 0x2,
  out: 0x4,
  error: 0x8,
  hangUp: 0x10,
  peerClosed: 0x2000,
  edgeTriggered: -0x80000000,
} as const;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

/** struct epoll_event is packed to 12 bytes on x86-64, and 16 bytes elsewhere: in 32-bit words. */
const STRIDE_WORDS = process.arch === "x64" || process.arch === "ia32" ? 3 : 4;
const DATA_WORD = STRIDE_WORDS - 2;

/** What a loop waits with: an {@link Epoll}, or one that something else shares. */
export interface Poller {
  add(fd: number, events: number, tag: number): number;
  wait(timeoutMs: number): number;
  tag(index: number): number;
  bits(index: number): number;
}

/** One epoll instance. Each watched descriptor carries a `tag`, a 32-bit number its events come back with. */
export class Epoll implements Poller {
  readonly descriptor: number;
  readonly #events: Int32Array;
  readonly #capacity: number;
  readonly #eventsAddress: number;
  readonly #request = new Int32Array(STRIDE_WORDS);
  readonly #requestAddress = numericAddress(this.#request);

  /** `capacity` bounds how many events one {@link wait} returns. Throws a SystemError. */
  constructor(capacity: number) {
    this.descriptor = check(resultOf(libc.epoll_create1(EPOLL_CLOEXEC)), "epoll_create1");
    this.#capacity = capacity;
    this.#events = new Int32Array(capacity * STRIDE_WORDS);
    this.#eventsAddress = numericAddress(this.#events);
  }

  /** Watches `fd` for `events` of {@link EPOLL}. Returns 0 or minus errno. */
  add(fd: number, events: number, tag: number): number {
    return this.#control(EPOLL_CTL_ADD, fd, events, tag);
  }

  /** Watches a descriptor that was added for other events, or with another tag. Returns 0 or minus errno. */
  change(fd: number, events: number, tag: number): number {
    return this.#control(EPOLL_CTL_MOD, fd, events, tag);
  }

  #control(operation: number, fd: number, events: number, tag: number): number {
    this.#request[0] = events;
    this.#request[DATA_WORD] = tag;
    return resultOf(libcByAddress.epoll_ctl(this.descriptor, operation, fd, this.#requestAddress));
  }

  /** Forgets `fd`. Closing the last descriptor of a socket does the same. */
  remove(fd: number): number {
    return resultOf(libcByAddress.epoll_ctl(this.descriptor, EPOLL_CTL_DEL, fd, this.#requestAddress));
  }

  /** Waits up to `timeoutMs` (-1: without end) and returns how many events there are; an interrupted wait gives 0. */
  wait(timeoutMs: number): number {
    return Math.max(0, libcByAddress.epoll_wait(this.descriptor, this.#eventsAddress, this.#capacity, timeoutMs));
  }

  /** The tag of the event at `index` of the last {@link wait}. */
  tag(index: number): number {
    return this.#events[index * STRIDE_WORDS + DATA_WORD] as number;
  }

  /** The {@link EPOLL} bits of the event at `index` of the last {@link wait}. */
  bits(index: number): number {
    return this.#events[index * STRIDE_WORDS] as number;
  }

  close(): void {
    libc.close(this.descriptor);
  }
}

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

/** Wakes a thread that sleeps in {@link Epoll.wait}: another thread writes, this one sees its descriptor readable. */
export function openEventDescriptor(): number {
  return check(resultOf(libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), "eventfd");
}

const one = new BigUint64Array([1n]);

/** Makes the event descriptor readable. May be called from any thread. */
export function signalEvent(fd: number): void {
  libc.write(fd, one, 8);
}

const drained = new BigUint64Array(1);

/** Makes the event descriptor unreadable again. */
export function clearEvent(fd: number): void {
  libc.read(fd, drained, 8);
}
