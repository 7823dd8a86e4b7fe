/** Ends of TCP connections for tests: what to send, what came, how it ended. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server, Socket } from "node:net";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { check, errnoName, resultOf } from "@hybrid-access/core/platform/errno";
import { libc } from "@hybrid-access/core/platform/libc";
import {
  bind,
  IPPROTO_TCP,
  listen,
  OPTION,
  openStreamSocket,
  setLinger,
  setOption,
  type TransportProtocol,
  takeError,
} from "@hybrid-access/core/platform/socket";
import { AF_INET, AF_INET6, addressFamily } from "@hybrid-access/core/platform/socket-address";
import type { Lab } from "./lab.ts";

/** How a stream ended for its reader: with its end, or with an error code. */
export type StreamEnd = "end" | string;

/** What one side received. */
export interface Received {
  readonly bytes: number;
  readonly hash: string;
  readonly end: StreamEnd;
}

/** Bytes that tell their position, so that a lost, doubled or moved one shows in the hash. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed >>> 0;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

export function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Reads a socket to its end. Rejects never: an error is an outcome. */
export function receive(socket: Socket): Promise<Received> {
  const hash = createHash("sha256");
  let bytes = 0;
  return new Promise((resolve) => {
    const finish = (end: StreamEnd) => resolve({ bytes, hash: hash.digest("hex"), end });
    let done = false;
    const once = (end: StreamEnd) => {
      if (!done) finish(end);
      done = true;
    };
    if (socket.errored !== null) once((socket.errored as NodeJS.ErrnoException).code ?? "error");
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      hash.update(chunk);
    });
    socket.once("end", () => once(unreadError(socket) ?? "end"));
    socket.once("error", (error: NodeJS.ErrnoException) => once(error.code ?? "error"));
    socket.once("close", () => once("closed without an end"));
  });
}

/**
 * The error that a socket still holds. libuv takes a hang-up after a short read for the end of the stream and does not
 * read again, so a reset that came together with the last bytes looks like a clean end; the kernel knows better.
 */
function unreadError(socket: Socket): string | undefined {
  const errno = takeError(descriptorOf(socket));
  return errno === 0 ? undefined : errnoName(errno);
}

function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd;
}

/** Resets a connection, whatever was asked of it before: Node's resetAndDestroy() does nothing while an end is on its way. */
export function reset(socket: Socket): void {
  setLinger(descriptorOf(socket), 0);
  socket.destroy();
}

/** The traffic class of a socket's packets: DSCP, and two bits that are TCP's own (RFC 3168). */
const TRAFFIC_CLASS = { [AF_INET]: [0, 1], [AF_INET6]: [41, 67] } as const;

/** Opens a connection from a node. Node opens sockets a tick later than asked; this one is made in the node at once. */
export function connectFrom(lab: Lab, node: string, host: string, port: number, dscp = 0): Socket {
  const family = addressFamily(ipAddress(host)) as typeof AF_INET | typeof AF_INET6;
  const fd = lab.inside(node, () => check(openStreamSocket(family, IPPROTO_TCP), "socket"));
  const [level, name] = TRAFFIC_CLASS[family];
  if (dscp > 0) check(resultOf(libc.setsockopt(fd, level, name, Int32Array.of(dscp << 2), 4)), "traffic class");
  const socket = new Socket({ fd, allowHalfOpen: true, readable: true, writable: true, manualStart: true } as object);
  // An error is an outcome: receive() tells it.
  return socket.on("error", () => {}).connect({ host, port });
}

/** A listening socket, on every address if not told another, made at once and without options of the product. */
export function openPlainListener(port: number, protocol: TransportProtocol = IPPROTO_TCP, host = "::"): number {
  const address = ipAddress(host);
  const fd = check(openStreamSocket(addressFamily(address), protocol), "socket");
  check(setOption(fd, OPTION.reuseAddress, 1), "SO_REUSEADDR");
  check(bind(fd, { address, port }), "bind");
  check(listen(fd, 4096), "listen");
  return fd;
}

const NAME_BYTES = 8;

/** The first bytes of a paused socket, which stays paused; undefined when it ends before them. */
function firstBytes(socket: Socket, length: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const finish = (bytes: Buffer | undefined) => {
      socket.off("readable", look).off("end", ended).off("close", ended);
      resolve(bytes);
    };
    const ended = () => finish(undefined);
    const look = () => {
      const bytes = socket.read(length) as Buffer | null;
      if (bytes !== null) finish(bytes);
    };
    socket.on("readable", look).on("end", ended).on("close", ended);
  });
}

/** A server in a node whose connections are handed out one by one. */
export class StreamServer {
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  readonly #waiting: ((socket: Socket) => void)[] = [];
  /** Those who wait for the connection that begins with this name. */
  readonly #named = new Map<string, (socket: Socket) => void>();
  readonly #open = new Set<Socket>();
  connections = 0;

  /** Listens on every address of the node. */
  constructor(lab: Lab, node: string, port: number) {
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      this.connections += 1;
      this.#open.add(socket);
      socket.once("close", () => this.#open.delete(socket));
      socket.on("error", () => {});
      if (this.#named.size > 0) return void this.#introduce(socket);
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#sockets.push(socket);
      else waiting(socket);
    });
    this.#server.listen({ fd: lab.inside(node, () => openPlainListener(port)) });
  }

  /** The next connection, paused. */
  accept(): Promise<Socket> {
    const socket = this.#sockets.shift();
    return socket === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(socket);
  }

  /**
   * The connection that `client` has just opened, paused: it is known by its first bytes. A client's lossy path may bring
   * others, of attempts that came to nothing; they are ended.
   */
  acceptFrom(client: Socket): Promise<Socket> {
    const name = randomBytes(NAME_BYTES);
    client.write(name);
    return new Promise((resolve) => {
      this.#named.set(name.toString("hex"), resolve);
      for (const socket of this.#sockets.splice(0)) void this.#introduce(socket);
    });
  }

  async #introduce(socket: Socket): Promise<void> {
    const name = (await firstBytes(socket, NAME_BYTES))?.toString("hex") ?? "";
    const resolve = this.#named.get(name);
    this.#named.delete(name);
    if (resolve === undefined) socket.destroy();
    else resolve(socket);
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}
