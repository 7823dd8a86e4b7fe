/**
 * The userspace engine: the project's own TCP and Multipath TCP over TUN devices. A leg is a number of its own, not a descriptor.
 *
 * Its packets move when {@link UserspaceEngine.advance} is called: reactor.ts does that around every wait of the worker's loop.
 */
import { AVAILABLE, unavailable } from "../../base/capability.ts";
import { AccessError } from "../../base/error.ts";
import { type Endpoint, familyOf } from "../../base/ip-address.ts";
import { ERRNO, SystemError, WOULD_BLOCK } from "../../platform/errno.ts";
import type { HostConnection } from "../../stack/host/host-connection.ts";
import { HostListener } from "../../stack/host/listener.ts";
import type { HostEvent, TransportHost } from "../../stack/host/transport-host.ts";
import type { CloseReason } from "../../stack/tcp/events.ts";
import type { TcpOption } from "../../wire/tcp-options.ts";
import {
  type Capabilities,
  type ConnectionInfo,
  type ConnectOptions,
  type ConnectResult,
  type Engine,
  type Leg,
  type ListenOptions,
  READY,
} from "../engine.ts";
import { describeConnection, describeOptions } from "./connection-info.ts";
import { type AnyLeg, LegTable, type StreamLeg } from "./legs.ts";
import type { PacketDriver } from "./packet-driver.ts";

const CAPABILITIES: Capabilities = {
  multipathTcp: AVAILABLE,
  fastOpenConnect: AVAILABLE,
  fastOpenListen: unavailable("the userspace engine does not take the data of SYNs yet"),
  transparent: unavailable("the userspace engine has the addresses of its TUN devices only"),
  pathControl: AVAILABLE,
};

/** What a connection that ended so shows to its application. */
const FAILURE: Readonly<Record<Exclude<CloseReason, "finished">, number>> = {
  reset: ERRNO.ECONNRESET,
  refused: ERRNO.ECONNREFUSED,
  timedOut: ERRNO.ETIMEDOUT,
  aborted: ERRNO.ECONNABORTED,
};

export class UserspaceEngine implements Engine {
  readonly name = "userspace";
  readonly capabilities = CAPABILITIES;
  readonly #driver: PacketDriver;
  readonly #host: TransportHost;
  readonly #legs = new LegTable();
  /** Watched legs that have edges to tell. */
  readonly #ready = new Set<AnyLeg>();
  /** Is told every event of every connection; path-control.ts listens. */
  onHostEvent: (event: HostEvent) => void = () => {};

  constructor(driver: PacketDriver) {
    this.#driver = driver;
    this.#host = driver.host;
  }

  // Time: see reactor.ts.

  /** Does what is due, sends what there is to send, and finds out what has become of the legs. */
  advance(nowMs: number): void {
    this.#driver.advance(nowMs);
    for (let event = this.#host.pollEvent(); event !== undefined; event = this.#host.pollEvent()) {
      this.onHostEvent(event);
      this.#onEvent(event);
    }
  }

  get hasReady(): boolean {
    return this.#ready.size > 0;
  }

  /** Reports edges that were not reported yet. */
  takeReady(report: (tag: number, bits: number) => void): void {
    for (const leg of this.#ready) {
      if (leg.tag !== undefined) report(leg.tag, leg.edges);
      leg.edges = 0;
    }
    this.#ready.clear();
  }

  #onEvent({ connection, event }: HostEvent): void {
    if (event.type === "acceptable") {
      const listening = this.#legs.ofListener(event.listener);
      if (listening !== undefined) this.#raise(listening, READY.read);
      return;
    }
    const leg = this.#legs.ofConnection(connection);
    if (leg === undefined) return;
    switch (event.type) {
      case "connected":
        leg.isConnected = true;
        return this.#raise(leg, READY.write);
      case "readable":
        return this.#raise(leg, READY.read);
      case "writable":
        return this.#raise(leg, READY.write);
      case "ended":
        leg.hasEnded = true;
        return this.#raise(leg, READY.read | READY.peerClosed | (leg.isShut ? READY.hangUp : 0));
      case "closed":
        return this.#onClosed(leg, event.reason);
    }
  }

  #onClosed(leg: StreamLeg, reason: CloseReason): void {
    if (reason === "finished") return this.#raise(leg, READY.read | READY.peerClosed | READY.hangUp);
    leg.failure = FAILURE[reason];
    leg.isFailurePending = true;
    this.#raise(leg, READY.read | READY.write | READY.error | READY.hangUp);
  }

  #raise(leg: AnyLeg, bits: number): void {
    leg.edges |= bits;
    if (leg.tag !== undefined) this.#ready.add(leg);
  }

  // Opening.

  listen({ endpoint, protocol, transparent = false }: ListenOptions): Leg {
    if (transparent)
      throw new AccessError("EOPNOTSUPP", "configuration", "the userspace engine takes no foreign addresses");
    const isAny = endpoint.address.every((byte) => byte === 0);
    if (!isAny && this.#driver.uplinkOf(endpoint.address) === undefined) {
      throw new SystemError(ERRNO.EADDRNOTAVAIL, "listen");
    }
    const listener = new HostListener(endpoint, protocol === "mptcp");
    if (!this.#host.listen(listener)) throw new SystemError(ERRNO.EADDRINUSE, "listen");
    return this.#legs.addListener(listener).leg;
  }

  accept(leg: Leg): Leg {
    const found = this.#legs.get(leg);
    if (found?.kind !== "listener") return -ERRNO.EINVAL;
    const connection = found.listener.waiting.shift();
    if (connection === undefined) return WOULD_BLOCK;
    const accepted = this.#legs.addStream(connection, true);
    const { closeReason } = connection.mptcp;
    // It was over before anybody has looked at it.
    if (closeReason !== undefined) this.#onClosed(accepted, closeReason);
    return accepted.leg;
  }

  connect(options: ConnectOptions): ConnectResult {
    const { peer, protocol, firstBytes } = options;
    const local = this.#sourceOf(options);
    if (typeof local === "number") return { leg: local, taken: 0 };
    const wanted = { local, remote: peer, multipath: protocol === "mptcp", ...(firstBytes && { firstBytes }) };
    const connection = this.#host.connect(wanted, performance.now());
    if (connection === "tooMany") return { leg: -ERRNO.ENOBUFS, taken: 0 };
    const taken = connection.mptcp.parts.session.sender.bufferedBytes;
    return { leg: this.#legs.addStream(connection, false).leg, taken };
  }

  /** The end to leave from, or minus errno. */
  #sourceOf({ peer, source, transparent }: ConnectOptions): Endpoint | number {
    if (transparent) return -ERRNO.EOPNOTSUPP;
    const address = source?.address ?? this.#driver.sourceFor(familyOf(peer.address));
    if (address === undefined) return -ERRNO.ENETUNREACH;
    if (this.#driver.uplinkOf(address) === undefined) return -ERRNO.EADDRNOTAVAIL;
    const port = source?.port || this.#driver.freePort(address, peer);
    if (port === undefined || !this.#host.isFree({ address, port }, peer)) return -ERRNO.EADDRNOTAVAIL;
    return { address, port };
  }

  watch(leg: Leg, tag: number): number {
    const found = this.#legs.get(leg);
    if (found === undefined) return -ERRNO.EINVAL;
    found.tag = tag;
    const bits = found.kind === "listener" ? (found.listener.waiting.length > 0 ? READY.read : 0) : stateOf(found);
    if ((found.edges | bits) !== 0) this.#raise(found, bits);
    return 0;
  }

  // Streams.

  read(leg: Leg, into: Uint8Array, length: number): number {
    return this.#readBy(leg, (stream) => stream.connection.mptcp.read(into.subarray(0, length)));
  }

  peek(leg: Leg, into: Uint8Array, length: number): number {
    return this.#readBy(leg, (stream) => stream.connection.mptcp.peek(into.subarray(0, length)));
  }

  discard(leg: Leg, length: number): number {
    return this.#readBy(leg, (stream) => stream.connection.mptcp.skip(length));
  }

  #readBy(leg: Leg, take: (stream: StreamLeg) => number): number {
    const stream = this.#legs.stream(leg);
    if (stream === undefined) return -ERRNO.EINVAL;
    const count = take(stream);
    if (count > 0) {
      this.#host.touch(stream.connection);
      return count;
    }
    if (stream.failure !== 0) {
      stream.isFailurePending = false;
      return -stream.failure;
    }
    return stream.connection.mptcp.parts.session.receiver.finReached ? 0 : WOULD_BLOCK;
  }

  write(leg: Leg, from: Uint8Array, length: number): number {
    const stream = this.#legs.stream(leg);
    if (stream === undefined) return -ERRNO.EINVAL;
    if (stream.failure !== 0 || stream.isShut) return -ERRNO.EPIPE;
    const taken = stream.connection.mptcp.write(from.subarray(0, length), performance.now());
    if (taken > 0) this.#host.touch(stream.connection);
    return taken > 0 || length === 0 ? taken : WOULD_BLOCK;
  }

  shutdownWrite(leg: Leg): number {
    const stream = this.#legs.stream(leg);
    if (stream === undefined) return -ERRNO.EINVAL;
    if (stream.failure !== 0) return -ERRNO.EPIPE;
    stream.isShut = true;
    stream.connection.mptcp.shutdownWrite(performance.now());
    this.#host.touch(stream.connection);
    if (stream.hasEnded) this.#raise(stream, READY.hangUp);
    return 0;
  }

  reset(leg: Leg): void {
    this.#release(leg, (connection) => connection.mptcp.reset(performance.now()));
  }

  close(leg: Leg): void {
    this.#release(leg, (connection) => connection.mptcp.close(performance.now()));
  }

  #release(leg: Leg, end: (connection: HostConnection) => void): void {
    const found = this.#legs.get(leg);
    if (found === undefined) return;
    this.#legs.delete(found);
    this.#ready.delete(found);
    if (found.kind === "listener") return this.#host.stopListening(found.listener, performance.now());
    end(found.connection);
    this.#host.touch(found.connection);
  }

  // What is known.

  takeError(leg: Leg): number {
    const stream = this.#legs.stream(leg);
    if (stream === undefined || !stream.isFailurePending) return 0;
    stream.isFailurePending = false;
    return stream.failure;
  }

  isEstablished(leg: Leg): boolean {
    return this.#legs.stream(leg)?.isConnected ?? false;
  }

  isMultipath(leg: Leg): boolean {
    const stream = this.#legs.stream(leg);
    return stream?.isConnected === true && stream.connection.mptcp.isMultipath;
  }

  /** Of plain TCP legs accepted transparently, of which this engine has none. */
  synDscp(): undefined {
    return undefined;
  }

  localEndpoint(leg: Leg): Endpoint | undefined {
    return this.#legs.stream(leg)?.connection.local;
  }

  remoteEndpoint(leg: Leg): Endpoint | undefined {
    return this.#legs.stream(leg)?.connection.remote;
  }

  info(leg: Leg): ConnectionInfo {
    const stream = this.#legs.stream(leg);
    return stream === undefined ? { multipath: false, subflows: [] } : describeConnection(stream.connection);
  }

  tcpOptions(leg: Leg): TcpOption[] {
    const stream = this.#legs.stream(leg);
    return stream === undefined ? [] : describeOptions(stream.connection);
  }
}

/** The readiness that a leg has now, whatever was told before. */
function stateOf({ connection, isConnected, hasEnded, failure }: StreamLeg): number {
  const { receiver, sender } = connection.mptcp.parts.session;
  let bits = receiver.readableBytes > 0 ? READY.read : 0;
  if (isConnected && sender.room > 0) bits |= READY.write;
  if (hasEnded || receiver.finReached) bits |= READY.read | READY.peerClosed;
  if (failure !== 0) bits |= READY.error | READY.hangUp;
  return bits;
}
