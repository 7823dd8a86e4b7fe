/** Netlink sockets: requests that wait for the kernel's answer (microseconds: it answers at once), and notifications. */
import { check, ERRNO, resultOf, SystemError } from "../errno.ts";
import { libc, libcByAddress, numericAddress, watchReadable } from "../libc.ts";
import { setReceiveBuffer } from "../socket.ts";
import { ignoreMessages } from "./filter.ts";
import { alignedLength, decodeMessages, encodeMessage, errorNumber, type NetlinkMessage } from "./message.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_NETLINK = 270;
const ADD_MEMBERSHIP = 1;
const MSG_DONTWAIT = 0x40;

export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;

/** Header flags. */
export const FLAG = {
  request: 0x1,
  acknowledge: 0x4,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
} as const;

const ERROR = 2;
const DONE = 3;

const RECEIVE_BYTES = 256 * 1024;
/** Notifications that wait to be read. */
const NOTIFICATION_BYTES = 1024 * 1024;
/** Longer than any single one. */
const LONGEST_NOTIFICATION_BYTES = 64 * 1024;

/** A bound netlink socket; the caller closes it. Throws a SystemError. */
export function openNetlink(protocol: number): number {
  const fd = check(resultOf(libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol)), "netlink socket");
  const address = new Uint8Array(12);
  address[0] = AF_NETLINK;
  check(resultOf(libc.bind(fd, address, address.length)), "netlink bind");
  return fd;
}

/** Asks the kernel. One request at a time: every call returns with its answer. */
export class NetlinkClient {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  #sequence = 0;
  #closed = false;

  constructor(protocol: number) {
    this.#fd = openNetlink(protocol);
  }

  /** Sends a request and returns what the kernel answered before its acknowledgement. Throws a SystemError. */
  request(type: number, flags: number, body: Uint8Array, action: string): NetlinkMessage[] {
    return Array.from(this.requestInParts(type, flags, body, action)).flat();
  }

  /**
   * The same, a datagram at a time, for long answers: others may have their turn between two parts. No other request may be
   * made before the last part has come. {@link close} ends it between two parts.
   */
  *requestInParts(type: number, flags: number, body: Uint8Array, action: string): Generator<NetlinkMessage[], void> {
    const sequence = ++this.#sequence;
    const dump = (flags & FLAG.dump) === FLAG.dump;
    const message = encodeMessage(type, flags | FLAG.request | (dump ? 0 : FLAG.acknowledge), sequence, body);
    check(resultOf(libc.send(this.#fd, message, message.length, 0)), action);
    for (let ended = false; !ended && !this.#closed; ) {
      const length = check(resultOf(libc.recv(this.#fd, this.#buffer, this.#buffer.length, 0)), action);
      const answers: NetlinkMessage[] = [];
      // A copy: the next datagram comes into the same buffer.
      for (const answer of decodeMessages(this.#buffer.slice(0, length))) {
        if (answer.sequence !== sequence) continue;
        ended ||= answer.type === DONE || answer.type === ERROR;
        if (answer.type === ERROR) throwOnError(answer, action);
        else if (answer.type !== DONE) answers.push(answer);
      }
      yield answers;
    }
  }

  /** From now on the descriptor's number may be somebody else's. */
  close(): void {
    this.#closed = true;
    libc.close(this.#fd);
  }
}

/** An acknowledgement is an error with the number 0. */
function throwOnError({ body }: NetlinkMessage, action: string): void {
  const errno = errorNumber(body);
  if (errno !== 0) throw new SystemError(errno, action);
}

/** How a socket hears notifications. */
export interface WatchOptions {
  /**
   * After notifications the next ones are left to wait for so long: to be woken for each of thousands in a second costs
   * more than to read it. One that comes alone is told at once; the more there are, the longer they wait, up to
   * {@link LONGEST_REST} times as long. After a rest in which nothing came it is called with nothing.
   */
  readonly restMs?: number;
  /** What the kernel is not even to copy: the value of the byte behind the netlink header. */
  readonly ignored?: readonly number[];
}

const LONGEST_REST = 16;
/** A rest is to bring so many messages; when it brings more, the next one is longer. */
export const MESSAGES_IN_A_REST = 32;

/**
 * Calls `onMessages` from Node's event loop with what the kernel says to these multicast groups: all that has come since
 * the last call. `undefined` means that notifications were lost (ENOBUFS): ask for the whole state again.
 *
 * The messages lie in a buffer that is used again: what is to be kept of them must be copied.
 */
export function watchNetlink(
  protocol: number,
  groups: readonly number[],
  onMessages: (messages: NetlinkMessage[] | undefined) => void,
  { restMs = 0, ignored = [] }: WatchOptions = {},
): { close(): void } {
  const fd = openNetlink(protocol);
  setReceiveBuffer(fd, NOTIFICATION_BYTES);
  if (ignored.length > 0) ignoreMessages(fd, ignored);
  for (const group of groups) {
    check(resultOf(libc.setsockopt(fd, SOL_NETLINK, ADD_MEMBERSHIP, Uint32Array.of(group), 4)), "netlink membership");
  }
  const notifications = new Notifications(fd);
  /** Reads all there is; says how many messages that was. */
  const drain = (): number => {
    let count = 0;
    for (;;) {
      const messages = notifications.read();
      if (messages?.length === 0) return count;
      count += messages?.length ?? 1;
      onMessages(messages);
    }
  };
  let closed = false;
  let resting: NodeJS.Timeout | undefined;
  let pauseMs = restMs;
  const rest = () => {
    resting = setTimeout(afterRest, pauseMs);
  };
  const afterRest = () => {
    const count = drain();
    if (closed) return;
    if (count === 0) onMessages([]);
    if (count > MESSAGES_IN_A_REST) pauseMs = Math.min(2 * pauseMs, LONGEST_REST * restMs);
    else if (count < MESSAGES_IN_A_REST / 4) pauseMs = Math.max(pauseMs / 2, restMs);
    if (count > 0) rest();
    else watch.resume();
  };
  const watch = watchReadable(fd, () => {
    drain();
    if (restMs === 0 || closed) return;
    watch.pause();
    rest();
  });
  return {
    close() {
      closed = true;
      clearTimeout(resting);
      watch.stop();
      libc.close(fd);
    },
  };
}

/** Reads datagrams one behind the other into one buffer, so that what came together is told together. */
class Notifications {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #address = numericAddress(this.#buffer);
  #lost = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** All that waits, as far as the buffer reaches; nothing when nothing does; undefined when something was lost. */
  read(): NetlinkMessage[] | undefined {
    let end = 0;
    while (!this.#lost && RECEIVE_BYTES - end >= LONGEST_NOTIFICATION_BYTES) {
      const room = RECEIVE_BYTES - end;
      const length = resultOf(libcByAddress.recv(this.#fd, this.#address + end, room, MSG_DONTWAIT));
      if (length > 0) end += alignedLength(length);
      else if (length !== -ERRNO.ENOBUFS) break;
      else this.#lost = true;
    }
    if (end === 0 && this.#lost) {
      this.#lost = false;
      return undefined;
    }
    return decodeMessages(this.#buffer.subarray(0, end));
  }
}
