/**
 * The seam: what the data plane and the daemons ask of a Multipath TCP implementation. Kernel, userspace and simulated
 * engines stand behind it and pass one conformance suite.
 *
 * A leg (one end of a byte stream) is a small integer, not an object: the data plane keeps its state in typed arrays
 * and an idle connection costs bytes, not kilobytes (docs/adr/0003). Functions on the data path never throw: they return
 * a count, or minus errno, with {@link WOULD_BLOCK} for "not now".
 */
import type { Capability } from "../base/capability.ts";
import type { Endpoint } from "../base/ip-address.ts";
import type { PathCommand, PathEvent, SubflowPath } from "../policy/path-manager/path-manager.ts";
import type { PathSamples } from "../policy/path-manager/samples.ts";
import type { TcpOption } from "../wire/tcp-options.ts";

export { WOULD_BLOCK } from "../platform/errno.ts";

/** One end of a byte stream: a Multipath TCP connection or a plain TCP socket. */
export type Leg = number;

/** What this engine can do on this host. */
export interface Capabilities {
  /** Connections with several subflows. */
  readonly multipathTcp: Capability;
  /** First bytes in the SYN of a connection that this host opens. */
  readonly fastOpenConnect: Capability;
  /** First bytes in the SYN of a connection that this host accepts. */
  readonly fastOpenListen: Capability;
  /** Taking connections to, and opening them from, addresses that are not this host's. */
  readonly transparent: Capability;
  /** Deciding about subflows from user space. */
  readonly pathControl: Capability;
  /** Limiting and announcing subflows of connections that this host accepts. */
  readonly acceptedPaths: Capability;
}

export interface ListenOptions {
  readonly endpoint: Endpoint;
  /** "mptcp" accepts peers without it too, as plain TCP. */
  readonly protocol: "mptcp" | "tcp";
  readonly transparent?: boolean;
  /**
   * Of each accepted plain TCP leg: what it takes from its peer before somebody reads, roughly. The engine adapts it when
   * it is left out, and knows best for Multipath TCP.
   */
  readonly receiveBufferBytes?: number;
}

export interface ConnectOptions {
  readonly peer: Endpoint;
  readonly protocol: "mptcp" | "tcp";
  /** The address to leave from; the host chooses when it is left out. */
  readonly source?: Endpoint;
  /** `source` is not an address of this host. */
  readonly transparent?: boolean;
  /** May travel in the SYN. */
  readonly firstBytes?: Uint8Array;
}

/** `leg` is minus errno when the attempt failed at once; `taken` is how many of the first bytes are on their way. */
export interface ConnectResult {
  readonly leg: Leg;
  readonly taken: number;
}

/** Why a connection is plain TCP though Multipath TCP was wanted. */
export type FallbackReason = "peer-without-mptcp" | "syn-dropped" | "unknown";

export interface SubflowInfo {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly rttMs: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly retransmittedSegments: number;
}

export interface ConnectionInfo {
  readonly multipath: boolean;
  /** Set when `multipath` is false though it was wanted. */
  readonly fallback?: FallbackReason;
  /** The local token (RFC 8684), 32 bits. */
  readonly token?: number;
  readonly subflows: readonly SubflowInfo[];
}

/**
 * Readiness, as the bits of epoll(7); edge-triggered: each is said once until it has been used up. "urgent": a read may
 * stop at urgent data though more has arrived.
 */
export const READY = { read: 0x1, urgent: 0x2, write: 0x4, error: 0x8, hangUp: 0x10, peerClosed: 0x2000 } as const;

/** Whether readiness tells that {@link Engine.takeError} may have something; of an attempt to connect it tells that always. */
export function isTroubled(bits: number): boolean {
  return (bits & (READY.error | READY.hangUp)) !== 0;
}

/** Holds a stretch of a stream on its way from one leg to another one, where no copy of it is made in user space. */
export interface Pipe {
  /**
   * Takes up to `length` bytes from the leg, as {@link Engine.read} does; only while the pipe is empty. 0 need not be the
   * end of the stream: a read tells. "Would block" is also said where urgent data begins.
   */
  fill(leg: Leg, length: number): number;
  /** Gives the leg up to `length` of the bytes that are in it, as {@link Engine.write} does. */
  drain(leg: Leg, length: number): number;
  /** What is in it is lost. */
  close(): void;
}

export interface Engine {
  readonly name: "kernel" | "userspace" | "simulated";
  readonly capabilities: Capabilities;
  /** Opens a listener, whose readiness says that {@link accept} has something. Throws an AccessError. */
  listen(options: ListenOptions): Leg;
  accept(listener: Leg): Leg;
  connect(options: ConnectOptions): ConnectResult;
  /** From now on the readiness of `leg` is reported with `tag`, that to write only if `writes`. 0 or minus errno. */
  watch(leg: Leg, tag: number, writes: boolean): number;
  /** Changes what a {@link watch} reports, and reports all that is ready then. 0 or minus errno. */
  changeWatch(leg: Leg, tag: number, writes: boolean): number;
  /** Bytes read into the start of `into`, 0 at the end of the stream, or minus errno. */
  read(leg: Leg, into: Uint8Array, length: number): number;
  /** As {@link read}, but the bytes stay. */
  peek(leg: Leg, into: Uint8Array, length: number): number;
  /** Takes away the first `length` bytes of what {@link peek} has shown. How many, or minus errno. */
  discard(leg: Leg, length: number): number;
  /**
   * Bytes taken from the start of `from`, or minus errno. With `more`, the end of the stream or more bytes follow at
   * once, and may go into the same segment.
   */
  write(leg: Leg, from: Uint8Array, length: number, more?: boolean): number;
  /** A pipe that holds up to `bytes` for any two legs of this engine; undefined when there is none to have now, or ever. */
  openPipe?(bytes: number): Pipe | undefined;
  shutdownWrite(leg: Leg): number;
  /** Ends the leg so that the peer sees an abort: RST, or MP_FASTCLOSE. */
  reset(leg: Leg): void;
  /** Ends the leg in order: what was written still arrives. */
  close(leg: Leg): void;
  /** The pending error as a positive errno, 0 for none; how an attempt to connect ended. */
  takeError(leg: Leg): number;
  /**
   * Whether the peer has proven that it receives what we send. A leg accepted with data in its SYN has not; what is
   * written to it before may stay unsent.
   */
  isEstablished(leg: Leg): boolean;
  /** Whether the peer speaks Multipath TCP on this leg. */
  isMultipath(leg: Leg): boolean;
  /** The DSCP (RFC 2474) of the SYN of a plain TCP leg accepted transparently, once; undefined where it is not known. */
  synDscp(leg: Leg): number | undefined;
  localEndpoint(leg: Leg): Endpoint | undefined;
  remoteEndpoint(leg: Leg): Endpoint | undefined;
  info(leg: Leg): ConnectionInfo;
  /**
   * The TCP options that the peer of an established plain TCP leg has agreed to, as its SYN+ACK must have carried them;
   * those whose values this engine cannot know are left out.
   */
  tcpOptions(leg: Leg): TcpOption[];
}

/** Subflow control, apart from the legs: it lives on the control plane's thread. */
export interface PathControl {
  /**
   * Carries a command out. False when it was refused: the connection may be gone already. An engine whose connections
   * are on other threads answers later, and takes commands in the order in which they were given.
   */
  execute(command: PathCommand): boolean | Promise<boolean>;
  /**
   * Calls back for every event until {@link close}. Linux says nothing to the end of a connection that the peer has
   * aborted (MP_FASTCLOSE): there is no connectionClosed, and {@link execute} returns false.
   */
  onEvent(listener: (event: PathEvent) => void): void;
  /** Notifications of a kind that is not known, which were skipped. */
  readonly unknownEvents: number;
  close(): void;
}

/** What an engine does by itself for every connection that this host accepts; on the control plane's thread. */
export interface AcceptedPaths {
  /** Subflows that a connection may have beside its initial one, at most 8. Joins beyond it are reset, open ones stay. */
  furtherSubflows: number;
  /**
   * New connections open no further subflows to the address that they came to (flag C, RFC 8684 section 3.1). To be said
   * before connections are accepted. Throws an AccessError where the engine cannot.
   */
  denyInitialJoins(): void;
  /**
   * New connections are told of this end (ADD_ADDR, RFC 8684 section 3.4.1). A port of 0: that of the initial subflow; at
   * another one the engine listens, for MP_JOIN only. Throws a SystemError, such as EADDRNOTAVAIL.
   */
  announce(end: Endpoint): void;
  /** Open connections are told that it is gone. Nothing happens when it is not announced. */
  withdraw(end: Endpoint): void;
  /** What every connection and subflow of this host has carried. Rejects with a SystemError. */
  samples(): Promise<PathSamples>;
  /**
   * Ends one subflow with a reset; what it has not delivered goes over the others. False when there is no such subflow.
   * Throws a SystemError where the host cannot do that.
   */
  resetSubflow(ends: Pick<SubflowPath, "local" | "remote">): boolean | Promise<boolean>;
  close(): void;
}
