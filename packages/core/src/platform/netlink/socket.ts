/** Netlink sockets: requests that wait for the kernel's answer (microseconds: it answers at once), and notifications. */
import { check, ERRNO, resultOf, SystemError } from "../errno.ts";
import { libc, watchReadable } from "../libc.ts";
import { setReceiveBuffer } from "../socket.ts";
import { decodeMessages, encodeMessage, errorNumber, type NetlinkMessage } from "./message.ts";

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

  constructor(protocol: number) {
    this.#fd = openNetlink(protocol);
  }

  /** Sends a request and returns what the kernel answered before its acknowledgement. Throws a SystemError. */
  request(type: number, flags: number, body: Uint8Array, action: string): NetlinkMessage[] {
    return Array.from(this.requestInParts(type, flags, body, action)).flat();
  }

  /**
   * The same, a datagram at a time, for long answers: others may have their turn between two parts. No other request may be
   * made before the last part has come.
   */
  *requestInParts(type: number, flags: number, body: Uint8Array, action: string): Generator<NetlinkMessage[], void> {
    const sequence = ++this.#sequence;
    const dump = (flags & FLAG.dump) === FLAG.dump;
    const message = encodeMessage(type, flags | FLAG.request | (dump ? 0 : FLAG.acknowledge), sequence, body);
    check(resultOf(libc.send(this.#fd, message, message.length, 0)), action);
    for (let ended = false; !ended; ) {
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

  close(): void {
    libc.close(this.#fd);
  }
}

/** An acknowledgement is an error with the number 0. */
function throwOnError({ body }: NetlinkMessage, action: string): void {
  const errno = errorNumber(body);
  if (errno !== 0) throw new SystemError(errno, action);
}

/**
 * Calls `onMessages` from Node's event loop with what the kernel says to these multicast groups. `undefined` means that
 * notifications were lost (ENOBUFS): ask for the whole state again.
 *
 * The messages lie in a buffer that is used again: what is to be kept of them must be copied.
 *
 * After notifications the next ones are left to wait for `restMs`: to be woken for each of thousands in a second costs
 * more than to read it. One that comes alone is told at once.
 */
export function watchNetlink(
  protocol: number,
  groups: readonly number[],
  onMessages: (messages: NetlinkMessage[] | undefined) => void,
  restMs = 0,
): { close(): void } {
  const fd = openNetlink(protocol);
  setReceiveBuffer(fd, NOTIFICATION_BYTES);
  for (const group of groups) {
    check(resultOf(libc.setsockopt(fd, SOL_NETLINK, ADD_MEMBERSHIP, Uint32Array.of(group), 4)), "netlink membership");
  }
  const buffer = new Uint8Array(RECEIVE_BYTES);
  /** Reads all there is; says whether there was anything. */
  const drain = (): boolean => {
    for (let any = false; ; any = true) {
      const length = resultOf(libc.recv(fd, buffer, buffer.length, MSG_DONTWAIT));
      if (length > 0) onMessages(decodeMessages(buffer.subarray(0, length)));
      else if (length === -ERRNO.ENOBUFS) onMessages(undefined);
      else return any;
    }
  };
  let closed = false;
  let resting: NodeJS.Timeout | undefined;
  const afterRest = () => {
    const any = drain();
    if (closed) return;
    if (any) resting?.refresh();
    else watch.resume();
  };
  const watch = watchReadable(fd, () => {
    drain();
    if (restMs === 0 || closed) return;
    watch.pause();
    resting = setTimeout(afterRest, restMs);
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
