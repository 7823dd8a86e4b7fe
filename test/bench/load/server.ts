/**
 * The load generator's server: a process of its own, one epoll loop, the four roles of {@link PORT}. Its argument is
 * "mptcp" (which accepts plain TCP too) or "tcp". Prints "listening" once it does; ends when it is killed.
 */

import { raiseDescriptorLimit } from "@hybrid-access/core/platform/descriptor-limit";
import { EPOLL, Epoll } from "@hybrid-access/core/platform/epoll";
import { check, ERRNO, WOULD_BLOCK } from "@hybrid-access/core/platform/errno";
import {
  accept,
  closeDescriptor,
  discard,
  IPPROTO_MPTCP,
  IPPROTO_TCP,
  OPTION,
  receive,
  send,
  setOption,
} from "@hybrid-access/core/platform/socket";
import { openPlainListener } from "../../lab/stream.ts";
import { CHUNK_BYTES, COUNT_BYTES, PORT, REPLY_BYTES, REQUEST_BYTES, ROLES, type Role } from "./protocol.ts";

const EVENTS_PER_WAIT = 512;

const epoll = new Epoll(EVENTS_PER_WAIT);
const chunk = new Uint8Array(CHUNK_BYTES);
const listeners = new Map<number, Role>();
/** By descriptor. */
const roles = new Map<number, Role>();
const receivedBytes = new Map<number, number>();

const READY: Readonly<Record<Role, (fd: number) => void>> = {
  sink(fd) {
    const dropped = discard(fd, CHUNK_BYTES);
    if (dropped > 0) count(fd, dropped);
    else if (dropped === 0) answer(fd, countOf(receivedBytes.get(fd) ?? 0));
    else endUnlessBlocked(fd, dropped);
  },
  source(fd) {
    endUnlessBlocked(fd, send(fd, chunk, CHUNK_BYTES));
  },
  echo(fd) {
    const length = receive(fd, chunk, CHUNK_BYTES);
    if (length > 0) endUnlessBlocked(fd, send(fd, chunk, length));
    else endUnlessBlocked(fd, length === 0 ? -ERRNO.EPIPE : length);
  },
  reply(fd) {
    const length = receive(fd, chunk, CHUNK_BYTES);
    if (length <= 0) endUnlessBlocked(fd, length === 0 ? -ERRNO.EPIPE : length);
    else if (count(fd, length) >= REQUEST_BYTES) answer(fd, chunk.subarray(0, REPLY_BYTES));
  },
};

function count(fd: number, length: number): number {
  const total = (receivedBytes.get(fd) ?? 0) + length;
  receivedBytes.set(fd, total);
  return total;
}

function countOf(bytes: number): Uint8Array {
  const message = new Uint8Array(COUNT_BYTES);
  new DataView(message.buffer).setBigUint64(0, BigInt(bytes));
  return message;
}

function answer(fd: number, message: Uint8Array): void {
  send(fd, message, message.length);
  end(fd);
}

function endUnlessBlocked(fd: number, result: number): void {
  if (result < 0 && result !== WOULD_BLOCK) end(fd);
}

function end(fd: number): void {
  roles.delete(fd);
  receivedBytes.delete(fd);
  closeDescriptor(fd);
}

function acceptAll(listener: number, role: Role): void {
  for (let fd = accept(listener); fd >= 0; fd = accept(listener)) {
    roles.set(fd, role);
    epoll.add(fd, role === "source" ? EPOLL.out : EPOLL.in, fd);
  }
}

const protocol = process.argv[2] === "mptcp" ? IPPROTO_MPTCP : IPPROTO_TCP;
raiseDescriptorLimit();
for (const role of ROLES) {
  const listener = openPlainListener(PORT[role], protocol);
  check(setOption(listener, OPTION.tcpNoDelay, 1), "TCP_NODELAY");
  listeners.set(listener, role);
  check(epoll.add(listener, EPOLL.in, listener), "epoll_ctl");
}
process.stdout.write("listening\n", () => {
  for (;;) {
    const ready = epoll.wait(-1);
    for (let index = 0; index < ready; index++) {
      const fd = epoll.tag(index);
      const listening = listeners.get(fd);
      if (listening !== undefined) acceptAll(fd, listening);
      else READY[roles.get(fd) as Role](fd);
    }
  }
});
