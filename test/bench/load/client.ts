/** The load generator's client: a process of its own that carries out one {@link LoadRequest} after the other. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { raiseDescriptorLimit } from "@hybrid-access/core/platform/descriptor-limit";
import { EPOLL, Epoll } from "@hybrid-access/core/platform/epoll";
import { check, ERRNO, errnoName, WOULD_BLOCK } from "@hybrid-access/core/platform/errno";
import * as socket from "@hybrid-access/core/platform/socket";
import { AF_INET } from "@hybrid-access/core/platform/socket-address";
import { percentile } from "../statistics.ts";
import {
  CHUNK_BYTES,
  COUNT_BYTES,
  type LoadReply,
  type LoadRequest,
  type LoadResult,
  PORT,
  REPLY_BYTES,
  REQUEST_BYTES,
  type Role,
} from "./protocol.ts";

const EVENTS_PER_WAIT = 512;
/** Longer than this without any event, and the load has failed. */
const PATIENCE_MS = 10_000;
/** Connections being opened at once while many are to be held. */
const OPENING_AT_ONCE = 64;
const NOTHING: LoadResult = { seconds: 0, bytes: 0, count: 0, p50Us: 0, p99Us: 0 };

const epoll = new Epoll(EVENTS_PER_WAIT);
const chunk = new Uint8Array(CHUNK_BYTES);
const held: number[] = [];

/** Begins to connect; the descriptor is watched for `events`. */
function open(address: string, role: Role, events: number): number {
  const fd = check(socket.openStreamSocket(AF_INET, socket.IPPROTO_TCP), "socket");
  check(socket.setOption(fd, socket.OPTION.tcpNoDelay, 1), "TCP_NODELAY");
  const result = socket.connect(fd, { address: ipAddress(address), port: PORT[role] });
  if (result < 0 && result !== -ERRNO.EINPROGRESS) throw new Error(`connect ${address}: ${errnoName(-result)}`);
  check(epoll.add(fd, events, fd), "epoll_ctl");
  return fd;
}

/** Waits for events, and throws when nothing happens for too long. */
function wait(what: string, timeoutMs = PATIENCE_MS): number {
  const ready = epoll.wait(Math.ceil(timeoutMs));
  if (ready === 0 && timeoutMs === PATIENCE_MS)
    throw new Error(`${what}: nothing happened for ${PATIENCE_MS / 1000} s`);
  return ready;
}

/** Passes a count or "would block" (as 0); throws when the connection failed. */
function moved(result: number, what: string): number {
  if (result < 0 && result !== WOULD_BLOCK) throw new Error(`${what}: ${errnoName(-result)}`);
  return Math.max(0, result);
}

/** Ends a connection at once, whatever is on its way. */
function abort(fd: number): void {
  socket.setLinger(fd, 0);
  socket.closeDescriptor(fd);
}

/** Sends until the deadline, ends the streams and waits for the receiver's counts: a byte less is an error. */
function up(address: string, connections: number, seconds: number): LoadResult {
  const startMs = performance.now();
  const deadlineMs = startMs + seconds * 1000;
  const fds = Array.from({ length: connections }, () => open(address, "sink", EPOLL.out));
  let sentBytes = 0;
  while (performance.now() < deadlineMs) {
    const ready = wait("upload", Math.max(1, deadlineMs - performance.now()));
    for (let index = 0; index < ready; index++)
      sentBytes += moved(socket.send(epoll.tag(index), chunk, CHUNK_BYTES), "send");
  }
  for (const fd of fds) {
    check(socket.shutdownWrite(fd), "shutdown");
    epoll.remove(fd);
    epoll.add(fd, EPOLL.in, fd);
  }
  let bytes = 0;
  for (let waiting = connections; waiting > 0; ) {
    const ready = wait("upload's end");
    for (let index = 0; index < ready; index++, waiting--) {
      const fd = epoll.tag(index);
      const length = moved(socket.receive(fd, chunk, COUNT_BYTES), "receiver's count");
      if (length !== COUNT_BYTES) throw new Error(`the receiver's count has ${length} bytes`);
      bytes += Number(new DataView(chunk.buffer).getBigUint64(0));
      socket.closeDescriptor(fd);
    }
  }
  if (bytes !== sentBytes) throw new Error(`${bytes} of ${sentBytes} bytes arrived`);
  return { ...NOTHING, bytes, seconds: (performance.now() - startMs) / 1000 };
}

/** Reads until the deadline. */
function down(address: string, connections: number, seconds: number): LoadResult {
  const startMs = performance.now();
  const deadlineMs = startMs + seconds * 1000;
  const fds = Array.from({ length: connections }, () => open(address, "source", EPOLL.in));
  let bytes = 0;
  while (performance.now() < deadlineMs) {
    const ready = wait("download", Math.max(1, deadlineMs - performance.now()));
    for (let index = 0; index < ready; index++) bytes += moved(socket.discard(epoll.tag(index), CHUNK_BYTES), "recv");
  }
  const elapsedMs = performance.now() - startMs;
  for (const fd of fds) abort(fd);
  return { ...NOTHING, bytes, seconds: elapsedMs / 1000 };
}

/** Connection after connection, `connections` of them at a time, each with one request and one reply. */
function short(address: string, connections: number, seconds: number): LoadResult {
  const startMs = performance.now();
  const deadlineMs = startMs + seconds * 1000;
  const startedMs = new Map<number, number>();
  const repliedBytes = new Map<number, number>();
  const durationsUs: number[] = [];
  const begin = () => {
    const now = performance.now();
    if (now >= deadlineMs) return;
    const fd = open(address, "reply", EPOLL.in | EPOLL.out | EPOLL.edgeTriggered);
    startedMs.set(fd, now);
    repliedBytes.set(fd, -1);
  };
  for (let index = 0; index < connections; index++) begin();
  while (startedMs.size > 0) {
    const ready = wait("short connections");
    for (let index = 0; index < ready; index++) {
      const fd = epoll.tag(index);
      let bytes = repliedBytes.get(fd) as number;
      if (bytes < 0) {
        moved(socket.send(fd, chunk, REQUEST_BYTES), "request");
        repliedBytes.set(fd, 0);
      }
      if ((epoll.bits(index) & EPOLL.in) === 0) continue;
      let length = socket.receive(fd, chunk, CHUNK_BYTES);
      for (; length > 0; length = socket.receive(fd, chunk, CHUNK_BYTES)) bytes = Math.max(0, bytes) + length;
      repliedBytes.set(fd, bytes);
      if (length === WOULD_BLOCK) continue;
      if (length < 0) throw new Error(`short connection: ${errnoName(-length)}`);
      if (bytes !== REPLY_BYTES) throw new Error(`a reply has ${bytes} bytes`);
      durationsUs.push((performance.now() - (startedMs.get(fd) as number)) * 1000);
      socket.closeDescriptor(fd);
      startedMs.delete(fd);
      begin();
    }
  }
  return { ...NOTHING, ...percentiles(durationsUs), seconds: (performance.now() - startMs) / 1000 };
}

/** One byte there and back, again and again, on one connection. */
function ping(address: string, seconds: number): LoadResult {
  const startMs = performance.now();
  const deadlineMs = startMs + seconds * 1000;
  const durationsUs: number[] = [];
  const fd = openEstablished(address);
  for (let nowMs = performance.now(); nowMs < deadlineMs; ) {
    roundTrip(fd);
    const endMs = performance.now();
    durationsUs.push((endMs - nowMs) * 1000);
    nowMs = endMs;
  }
  socket.closeDescriptor(fd);
  return { ...NOTHING, ...percentiles(durationsUs), seconds: (performance.now() - startMs) / 1000 };
}

function openEstablished(address: string): number {
  const fd = open(address, "echo", EPOLL.out);
  wait("connect");
  moved(-socket.takeError(fd), "connect");
  epoll.remove(fd);
  check(epoll.add(fd, EPOLL.in, fd), "epoll_ctl");
  return fd;
}

function roundTrip(fd: number): void {
  moved(socket.send(fd, chunk, 1), "ping");
  wait("pong");
  if (socket.receive(fd, chunk, 1) !== 1) throw new Error("the connection ended before the pong");
}

/** Opens connections, a few at a time, until `connections` have carried a byte both ways; they stay open. */
function hold(address: string, connections: number): LoadResult {
  const startMs = performance.now();
  let opened = 0;
  let answered = 0;
  const pinged = new Set<number>();
  while (answered < connections) {
    while (opened < connections && opened - answered < OPENING_AT_ONCE) {
      held.push(open(address, "echo", EPOLL.in | EPOLL.out | EPOLL.edgeTriggered));
      opened += 1;
    }
    const ready = wait("connections to hold");
    for (let index = 0; index < ready; index++) {
      const fd = epoll.tag(index);
      if (!pinged.has(fd)) {
        moved(socket.send(fd, chunk, 1), "first byte");
        pinged.add(fd);
      }
      if ((epoll.bits(index) & EPOLL.in) !== 0 && moved(socket.receive(fd, chunk, 1), "its echo") === 1) answered += 1;
    }
  }
  return { ...NOTHING, count: answered, seconds: (performance.now() - startMs) / 1000 };
}

function release(): LoadResult {
  for (const fd of held.splice(0)) abort(fd);
  return NOTHING;
}

function percentiles(durationsUs: number[]) {
  const sorted = Float64Array.from(durationsUs).sort();
  return { count: sorted.length, p50Us: percentile(sorted, 0.5), p99Us: percentile(sorted, 0.99) };
}

function carryOut(request: LoadRequest): LoadResult {
  switch (request.load) {
    case "up":
      return up(request.address, request.connections, request.seconds);
    case "down":
      return down(request.address, request.connections, request.seconds);
    case "short":
      return short(request.address, request.connections, request.seconds);
    case "ping":
      return ping(request.address, request.seconds);
    case "hold":
      return hold(request.address, request.connections);
    case "release":
      return release();
  }
}

raiseDescriptorLimit();
process.on("message", (request: LoadRequest) => {
  let reply: LoadReply;
  try {
    reply = { result: carryOut(request) };
  } catch (error) {
    reply = { error: (error as Error).message };
  }
  process.send?.(reply);
});
process.on("disconnect", () => process.exit(0));
process.send?.("ready");
