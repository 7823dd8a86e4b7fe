/**
 * The userspace engine: the project's own TCP and Multipath TCP. A leg is a number of its own, not a descriptor.
 *
 * Who brings packets and time, reactor.ts or the simulator, calls {@link UserspaceEngine.update} afterwards.
 */
import { AVAILABLE, unavailable } from "../../base/capability.ts";
import { AccessError } from "../../base/error.ts";
import { type Endpoint, type Family, familyOf, type IpAddress } from "../../base/ip-address.ts";
import { ERRNO, SystemError, WOULD_BLOCK } from "../../platform/errno.ts";
import type { StackHost } from "../../stack/host.ts";
import { FOREIGN_PORT } from "../../stack/host-options.ts";
import type { MptcpConnection } from "../../stack/mptcp/connection.ts";
import type { MptcpEvent } from "../../stack/mptcp/events.ts";
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

const NOT_TRANSPARENT = unavailable("this engine has the addresses of its own uplinks only");

/** What a connection that ended so shows to its application. */
const FAILURE: Readonly<Record<Exclude<CloseReason, "finished">, number>> = {
  reset: ERRNO.ECONNRESET,
  refused: ERRNO.ECONNREFUSED,
  unreachable: ERRNO.EHOSTUNREACH,
  timedOut: ERRNO.ETIMEDOUT,
  aborted: ERRNO.ECONNABORTED,
};

/** What an engine stands on: its transport, its addresses, and the time. */
export interface EngineGround {
  readonly host: StackHost;
  isOwn(address: IpAddress): boolean;
  /** Whether packets of other addresses come and go too. */
  readonly takesForeign: boolean;
  /** The address that connections of this family leave from, unless they are told another one. */
  sourceFor(family: Family): IpAddress | undefined;
  /** Milliseconds of the clock that the transport is driven by. */
  nowMs(): number;
}

export class UserspaceEngine implements Engine {
  readonly name: "userspace" | "simulated";
  readonly capabilities: Capabilities;
  readonly #ground: EngineGround;
  readonly #host: StackHost;
  readonly #legs = new LegTable();
  /** Watched legs that have edges to tell. */
  readonly #ready = new Set<AnyLeg>();
  /** Is told every event of every connection; path-control.ts listens. */
  onConnectionEvent: (connection: MptcpConnection, event: MptcpEvent) => void = () => {};

  constructor(ground: EngineGround, name: UserspaceEngine["name"] = "userspace") {
    this.#ground = ground;
    this.#host = ground.host;
    this.name = name;
    this.capabilities = {
      multipathTcp: AVAILABLE,
      fastOpenConnect: AVAILABLE,
      fastOpenListen: AVAILABLE,
      transparent: ground.takesForeign ? AVAILABLE : NOT_TRANSPARENT,
      pathControl: AVAILABLE,
      acceptedPaths: AVAILABLE,
    };
  }

  /** Finds out what has become of the legs, when all packets that there were to send are sent. */
  update(): void {
    for (let changed = this.#host.pollChanged(); changed !== undefined; changed = this.#host.pollChanged()) {
      for (let event = changed.pollEvent(); event !== undefined; event = changed.pollEvent()) {
        this.onConnectionEvent(changed, event);
        this.#onEvent(changed, event);
      }
    }
    for (const listening of this.#legs.listeners) {
      const { arrivals } = listening.listener;
      if (arrivals > listening.arrivalsTold) this.#raise(listening, READY.read);
      listening.arrivalsTold = arrivals;
    }
  }

  /** Takes a packet that has come to somebody else's uplink. */
  receive(packet: Uint8Array): void {
    this.#host.onPacket(this.#ground.nowMs(), packet, false);
  }

  get streams(): Iterable<StreamLeg> {
    return this.#legs.streams;
  }

  /** Subflows that a connection may have when a peer joins another one; undefined for the transport's own limit. */
  set mostJoined(subflows: number | undefined) {
    this.#host.mostJoined = subflows;
  }

  get hasReady(): boolean {
    return this.#ready.size > 0;
  }

  /** Reports edges that were not reported yet. */
  takeReady(report: (tag: number, bits: number) => void): void {
    for (const leg of this.#ready) {
      const bits = wantedEdges(leg);
      if (leg.tag !== undefined && bits !== 0) report(leg.tag, bits);
      // One that was not wanted need not be kept: whoever comes to want it is told how the leg stands.
      leg.edges = 0;
    }
    this.#ready.clear();
  }

  #onEvent(connection: MptcpConnection, event: MptcpEvent): void {
    const leg = this.#legs.ofConnection(connection);
    if (leg === undefined) return;
    switch (event.type) {
      case "connected":
      case "writable":
        return this.#raise(leg, READY.write);
      case "readable":
        return this.#raise(leg, READY.read);
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
    if (leg.tag !== undefined && wantedEdges(leg) !== 0) this.#ready.add(leg);
  }

  // Opening.

  /**
   * Takes connections to every address of the engine at this port: all of them are its own. A transparent listener takes
   * those to every port of every other address.
   */
  listen({ endpoint, protocol, transparent = false }: ListenOptions): Leg {
    const { address } = endpoint;
    if (transparent && !this.#ground.takesForeign) {
      throw new AccessError("EOPNOTSUPP", "configuration", "this engine takes no foreign addresses");
    }
    const port = transparent ? FOREIGN_PORT : endpoint.port;
    if (!transparent && !isAny(address) && !this.#ground.isOwn(address)) {
      throw new SystemError(ERRNO.EADDRNOTAVAIL, "listen");
    }
    const multipath = protocol === "mptcp";
    const present = this.#legs.listenerAt(port)?.listener;
    if (present === undefined ? this.#host.isListening(port) : present.options.multipath !== multipath) {
      throw new SystemError(ERRNO.EADDRINUSE, "listen");
    }
    // Several addresses at one port: what comes to any of them may be accepted by each.
    return this.#legs.addListener(present ?? this.#host.listen(port, { multipath, fastOpen: "always" }), port).leg;
  }

  accept(leg: Leg): Leg {
    const found = this.#legs.get(leg);
    if (found?.kind !== "listener") return -ERRNO.EINVAL;
    const connection = found.listener.accept();
    if (connection === undefined) return WOULD_BLOCK;
    const [first] = connection.subflows;
    // It was over before anybody has looked at it.
    if (first === undefined || connection.closeReason !== undefined) return -ERRNO.ECONNABORTED;
    return this.#legs.addStream(connection, found.listener.options.multipath, first.tcp).leg;
  }

  connect(options: ConnectOptions): ConnectResult {
    const { peer, protocol, source, firstBytes } = options;
    const address = this.#sourceOf(options);
    if (typeof address === "number") return { leg: address, taken: 0 };
    const connection = this.#host.connect(address, peer, this.#ground.nowMs(), {
      multipath: protocol === "mptcp",
      ...(firstBytes !== undefined && { fastOpen: "always", firstBytes }),
      ...(source !== undefined && source.port !== 0 && { localPort: source.port }),
    });
    const [first] = connection?.subflows ?? [];
    if (connection === undefined || first === undefined) return { leg: -ERRNO.EADDRNOTAVAIL, taken: 0 };
    const { leg } = this.#legs.addStream(connection, protocol === "mptcp", first.tcp);
    return { leg, taken: connection.parts.session.sender.bufferedBytes };
  }

  /** The address to leave from, or minus errno. */
  #sourceOf({ peer, source, transparent }: ConnectOptions): IpAddress | number {
    if (transparent && !this.#ground.takesForeign) return -ERRNO.EOPNOTSUPP;
    const address = source?.address ?? this.#ground.sourceFor(familyOf(peer.address));
    if (address === undefined) return -ERRNO.ENETUNREACH;
    return transparent || this.#ground.isOwn(address) ? address : -ERRNO.EADDRNOTAVAIL;
  }

  changeWatch(leg: Leg, tag: number, writes: boolean): number {
    return this.watch(leg, tag, writes);
  }

  watch(leg: Leg, tag: number, writes: boolean): number {
    const found = this.#legs.get(leg);
    if (found === undefined) return -ERRNO.EINVAL;
    found.tag = tag;
    found.tellsWritable = writes;
    const bits = found.kind === "listener" ? (found.listener.waiting > 0 ? READY.read : 0) : readinessOf(found);
    if ((found.edges | bits) !== 0) this.#raise(found, bits);
    return 0;
  }

  // Streams.

  read(leg: Leg, into: Uint8Array, length: number): number {
    return this.#readBy(leg, (connection) => connection.read(into.subarray(0, length)));
  }

  peek(leg: Leg, into: Uint8Array, length: number): number {
    return this.#readBy(leg, (connection) => connection.peek(into.subarray(0, length)));
  }

  discard(leg: Leg, length: number): number {
    return this.#readBy(leg, (connection) => connection.skip(length));
  }

  #readBy(leg: Leg, take: (connection: MptcpConnection) => number): number {
    const stream = this.#legs.stream(leg);
    if (stream === undefined) return -ERRNO.EINVAL;
    const count = take(stream.connection);
    if (count > 0) return count;
    if (stream.failure !== 0) {
      stream.isFailurePending = false;
      return -stream.failure;
    }
    return stream.connection.parts.session.receiver.finReached ? 0 : WOULD_BLOCK;
  }

  write(leg: Leg, from: Uint8Array, length: number): number {
    const stream = this.#legs.stream(leg);
    if (stream === undefined) return -ERRNO.EINVAL;
    if (stream.failure !== 0 || stream.isShut) return -ERRNO.EPIPE;
    const taken = stream.connection.write(from.subarray(0, length), this.#ground.nowMs());
    return taken > 0 || length === 0 ? taken : WOULD_BLOCK;
  }

  shutdownWrite(leg: Leg): number {
    const stream = this.#legs.stream(leg);
    if (stream === undefined) return -ERRNO.EINVAL;
    if (stream.failure !== 0) return -ERRNO.EPIPE;
    stream.isShut = true;
    stream.connection.shutdownWrite(this.#ground.nowMs());
    if (stream.hasEnded) this.#raise(stream, READY.hangUp);
    return 0;
  }

  reset(leg: Leg): void {
    this.#release(leg)?.reset(this.#ground.nowMs());
  }

  close(leg: Leg): void {
    this.#release(leg)?.close(this.#ground.nowMs());
  }

  /** Takes the number back, and gives the connection that is to be ended; a listener ends at once. */
  #release(leg: Leg): MptcpConnection | undefined {
    const found = this.#legs.get(leg);
    if (found === undefined) return undefined;
    this.#legs.delete(found);
    this.#ready.delete(found);
    if (found.kind === "stream") return found.connection;
    if (this.#legs.listenerAt(found.port) === undefined) this.#host.unlisten(found.port, this.#ground.nowMs());
    return undefined;
  }

  // What is known.

  takeError(leg: Leg): number {
    const stream = this.#legs.stream(leg);
    if (stream === undefined || !stream.isFailurePending) return 0;
    stream.isFailurePending = false;
    return stream.failure;
  }

  isEstablished(leg: Leg): boolean {
    return this.#legs.stream(leg)?.connection.isConnected ?? false;
  }

  isMultipath(leg: Leg): boolean {
    const connection = this.#legs.stream(leg)?.connection;
    // What it said in its SYN is enough.
    return connection?.isMultipath === true && (connection.isConnected || !connection.isInitiator);
  }

  /** What a SYN said beside its segment is not kept. */
  synDscp(): undefined {
    return undefined;
  }

  localEndpoint(leg: Leg): Endpoint | undefined {
    return this.#legs.stream(leg)?.local;
  }

  remoteEndpoint(leg: Leg): Endpoint | undefined {
    return this.#legs.stream(leg)?.remote;
  }

  info(leg: Leg): ConnectionInfo {
    const stream = this.#legs.stream(leg);
    if (stream === undefined) return { multipath: false, subflows: [] };
    return describeConnection(stream.connection, stream.wantsMultipath);
  }

  tcpOptions(leg: Leg): TcpOption[] {
    const stream = this.#legs.stream(leg);
    return stream === undefined ? [] : describeOptions(stream.connection);
  }
}

function isAny(address: IpAddress): boolean {
  return address.every((byte) => byte === 0);
}

/** Bits that are to be reported. */
function wantedEdges({ edges, tellsWritable }: AnyLeg): number {
  return tellsWritable ? edges : edges & ~READY.write;
}

/** The readiness that a leg has now, whatever was told before. */
function readinessOf({ connection, hasEnded, failure }: StreamLeg): number {
  const { receiver, sender } = connection.parts.session;
  let bits = receiver.readableBytes > 0 ? READY.read : 0;
  if (connection.isConnected && sender.room > 0) bits |= READY.write;
  if (hasEnded || receiver.finReached) bits |= READY.read | READY.peerClosed;
  if (failure !== 0) bits |= READY.error | READY.hangUp;
  return bits;
}
