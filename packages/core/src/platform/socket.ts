/**
 * Sockets. Functions on the data path return a number that is not negative, or minus errno: they never throw and never
 * allocate. Functions that set things up throw a SystemError.
 */
import { type Endpoint, formatEndpoint, formatIpAddress, type IpAddress } from "../base/ip-address.ts";
import { check, resultOf } from "./errno.ts";
import { type Address, libc, libcByAddress, numericAddress } from "./libc.ts";
import {
  AF_INET,
  addressFamily,
  decodeSocketAddress,
  SOCKADDR_IN6_BYTES,
  writeSocketAddress,
} from "./socket-address.ts";

const SOCK_STREAM = 1;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const IPPROTO_TCP = 6;
export const IPPROTO_MPTCP = 262;

const MSG_PEEK = 0x2;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_MORE = 0x8000;
const MSG_FASTOPEN = 0x20000000;

/** setsockopt(2) options as [level, name]; the values are Linux's. */
export const OPTION = {
  reuseAddress: [1, 2],
  error: [1, 4],
  sendBuffer: [1, 7],
  receiveBuffer: [1, 8],
  urgentInline: [1, 10],
  linger: [1, 13],
  reusePort: [1, 15],
  mark: [1, 36],
  protocol: [1, 38],
  receiveBufferForce: [1, 33],
  sendBufferForce: [1, 32],
  ipTransparent: [0, 19],
  ipBindAddressNoPort: [0, 24],
  ipv6Only: [41, 26],
  ipv6Transparent: [41, 75],
  tcpNoDelay: [6, 1],
  tcpInfo: [6, 11],
  tcpFastOpen: [6, 23],
  tcpSaveSyn: [6, 27],
  tcpSavedSyn: [6, 28],
  tcpFastOpenConnect: [6, 30],
  tcpFastOpenNoCookie: [6, 34],
  tcpIsMptcp: [6, 43],
  mptcpInfo: [284, 1],
  mptcpTcpInfo: [284, 2],
  mptcpFullInfo: [284, 4],
} as const satisfies Record<string, readonly [number, number]>;

export type SocketOption = (typeof OPTION)[keyof typeof OPTION];

export type TransportProtocol = typeof IPPROTO_TCP | typeof IPPROTO_MPTCP;

/** Opens a non-blocking stream socket, or returns minus errno. */
export function openStreamSocket(family: number, protocol: TransportProtocol): number {
  return resultOf(libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

const optionValue = new Int32Array(2);
const optionLength = new Uint32Array(1);
const optionValueAddress = numericAddress(optionValue);
const optionLengthAddress = numericAddress(optionLength);

/** Sets an option whose value is an int. Returns 0 or minus errno. */
export function setOption(fd: number, [level, name]: SocketOption, value: number): number {
  optionValue[0] = value;
  return resultOf(libcByAddress.setsockopt(fd, level, name, optionValueAddress, 4));
}

/** SO_LINGER. With 0 seconds, close sends RST (MP_FASTCLOSE on MPTCP); "off" restores the ordinary close. */
export function setLinger(fd: number, seconds: number | "off"): number {
  optionValue[0] = seconds === "off" ? 0 : 1;
  optionValue[1] = seconds === "off" ? 0 : seconds;
  return resultOf(libcByAddress.setsockopt(fd, OPTION.linger[0], OPTION.linger[1], optionValueAddress, 8));
}

/** An option whose value is an int, or minus errno (so: only for options that are not negative). */
export function getOption(fd: number, [level, name]: SocketOption): number {
  optionLength[0] = 4;
  const result = resultOf(libcByAddress.getsockopt(fd, level, name, optionValueAddress, optionLengthAddress));
  return result < 0 ? result : (optionValue[0] ?? 0);
}

/** Fills `value` and returns how many bytes the kernel wrote, or minus errno. */
export function readOption(fd: number, [level, name]: SocketOption, value: Uint8Array): number {
  optionLength[0] = value.length;
  const result = resultOf(libc.getsockopt(fd, level, name, value, optionLength));
  return result < 0 ? result : (optionLength[0] ?? 0);
}

/** The pending error of a socket (SO_ERROR) as a positive errno, 0 when there is none. Reading clears it. */
export function takeError(fd: number): number {
  return Math.abs(getOption(fd, OPTION.error));
}

const nameBuffer = new Uint8Array(SOCKADDR_IN6_BYTES);
const nameLength = new Uint32Array(1);
const nameBufferAddress = numericAddress(nameBuffer);
const nameLengthAddress = numericAddress(nameLength);

export function bind(fd: number, endpoint: Endpoint): number {
  const length = writeSocketAddress(endpoint, nameBuffer);
  return resultOf(libcByAddress.bind(fd, nameBufferAddress, length));
}

export function listen(fd: number, backlog: number): number {
  return resultOf(libc.listen(fd, backlog));
}

const peerName = new Uint8Array(SOCKADDR_IN6_BYTES);
const peerNameAddress = numericAddress(peerName);
const peerNameLength = new Uint32Array(1);
const peerNameLengthAddress = numericAddress(peerNameLength);
const NOBODY = -1;
/** The socket whose peer is in {@link peerName}: accept(2) has told it. */
let lastAccepted = NOBODY;

/** Accepts one connection, non-blocking; returns its descriptor or minus errno. */
export function accept(fd: number): number {
  peerNameLength[0] = SOCKADDR_IN6_BYTES;
  lastAccepted = NOBODY;
  const flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
  const accepted = resultOf(libcByAddress.accept4(fd, peerNameAddress, peerNameLengthAddress, flags));
  if (accepted >= 0) lastAccepted = accepted;
  return accepted;
}

/** Begins to connect: 0, or minus errno, of which -EINPROGRESS is the ordinary one. */
export function connect(fd: number, endpoint: Endpoint): number {
  const length = writeSocketAddress(endpoint, nameBuffer);
  return resultOf(libcByAddress.connect(fd, nameBufferAddress, length));
}

/**
 * Begins to connect with `firstBytes` in the SYN (RFC 7413). Returns how many bytes went into it; -EINPROGRESS means
 * that the SYN left without them (no cookie yet), -EOPNOTSUPP that the host does not allow it and no SYN left.
 */
export function connectWithData(fd: number, endpoint: Endpoint, firstBytes: Uint8Array): number {
  const length = writeSocketAddress(endpoint, nameBuffer);
  const bytes = addressFor(firstBytes) ?? copySmall(firstBytes, firstBytes.length) ?? numericAddress(firstBytes);
  const flags = MSG_FASTOPEN | MSG_NOSIGNAL;
  return resultOf(libcByAddress.sendto(fd, bytes, firstBytes.length, flags, nameBufferAddress, length));
}

/** A buffer of this size or more is one that a thread moves bytes through all its life, or nearly. */
const WORK_BUFFER_BYTES = 32 * 1024;
/** Where buffers begin that are used again and again. */
const addresses = new WeakMap<Uint8Array, Address>();
let lastBuffer: Uint8Array = new Uint8Array(1);
let lastAddress: Address = keepAddress(lastBuffer);

/** A buffer to read into again and again: the calls below take it quicker than others. */
export function createWorkBuffer(bytes: number): Uint8Array {
  const buffer = new Uint8Array(bytes);
  keepAddress(buffer);
  return buffer;
}

function keepAddress(buffer: Uint8Array): Address {
  const address = numericAddress(buffer);
  addresses.set(buffer, address);
  return address;
}

/** Where `bytes` begin, if that is known or worth to be. */
function addressFor(bytes: Uint8Array): Address | undefined {
  if (bytes === lastBuffer) return lastAddress;
  const address = addresses.get(bytes) ?? (bytes.length < WORK_BUFFER_BYTES ? undefined : keepAddress(bytes));
  if (address === undefined) return undefined;
  lastBuffer = bytes;
  lastAddress = address;
  return address;
}

/** Small messages are sent from here: to find out where an array of a moment begins costs more than to copy it. */
const smallBuffer = new Uint8Array(4096);
const smallBufferAddress = numericAddress(smallBuffer);

/** Reads into the start of `into`: the number of bytes, 0 at the end of the stream, or minus errno. */
export function receive(fd: number, into: Uint8Array, length: number): number {
  const address = addressFor(into);
  if (address !== undefined) return resultOf(libcByAddress.recv(fd, address, length, MSG_DONTWAIT));
  return resultOf(libc.recv(fd, into, length, MSG_DONTWAIT));
}

/** Drops up to `length` bytes that have arrived, without copying them (tcp(7), MSG_TRUNC). Returns as {@link receive}. */
export function discard(fd: number, length: number): number {
  return resultOf(libc.recv(fd, null, length, MSG_DONTWAIT | MSG_TRUNC));
}

/** As {@link receive}, but what was read stays and is read again. */
export function peek(fd: number, into: Uint8Array, length: number): number {
  return resultOf(libc.recv(fd, into, length, MSG_DONTWAIT | MSG_PEEK));
}

/**
 * Writes the first `length` bytes of `from`: the number taken, or minus errno. Raises no SIGPIPE. With `more`, the last
 * segment may wait for what follows (MSG_MORE).
 */
export function send(fd: number, from: Uint8Array, length: number, more = false): number {
  const flags = more ? MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE : MSG_DONTWAIT | MSG_NOSIGNAL;
  const address = addressFor(from) ?? copySmall(from, length);
  if (address !== undefined) return resultOf(libcByAddress.send(fd, address, length, flags));
  return resultOf(libc.send(fd, from, length, flags));
}

function copySmall(bytes: Uint8Array, length: number): Address | undefined {
  if (bytes.length > smallBuffer.length || length > bytes.length) return undefined;
  smallBuffer.set(bytes);
  return smallBufferAddress;
}

const SHUT_WR = 1;

/** Ends the stream toward the peer (FIN, or DATA_FIN): half-close. */
export function shutdownWrite(fd: number): number {
  return resultOf(libc.shutdown(fd, SHUT_WR));
}

export function closeDescriptor(fd: number): number {
  if (fd === lastAccepted) lastAccepted = NOBODY;
  return resultOf(libc.close(fd));
}

/** The socket's own end. For a connection that TPROXY handed over, this is the destination the client wanted. */
export function localEndpoint(fd: number): Endpoint | undefined {
  nameLength[0] = nameBuffer.length;
  if (libcByAddress.getsockname(fd, nameBufferAddress, nameLengthAddress) < 0) return undefined;
  return decodeSocketAddress(nameBuffer);
}

export function remoteEndpoint(fd: number): Endpoint | undefined {
  if (fd === lastAccepted) return decodeSocketAddress(peerName);
  nameLength[0] = nameBuffer.length;
  if (libcByAddress.getpeername(fd, nameBufferAddress, nameLengthAddress) < 0) return undefined;
  return decodeSocketAddress(nameBuffer);
}

/** How to set a listening socket up. */
export interface ListenSocketOptions {
  readonly endpoint: Endpoint;
  readonly protocol: TransportProtocol;
  /** Pending connections; the kernel caps it at net.core.somaxconn. */
  readonly backlog: number;
  /** Several sockets share the port, and the kernel spreads connections over them. */
  readonly reusePort: boolean;
  /** Takes connections to any destination that TPROXY hands over (needs CAP_NET_ADMIN). */
  readonly transparent?: boolean;
  /** Keeps the SYN of accepted connections until it is read once (TCP_SAVE_SYN). */
  readonly saveSyn?: boolean;
  /** Fixed size of accepted sockets' receive buffers; the kernel adapts them when it is left out. */
  readonly receiveBufferBytes?: number;
  /** Accepts data in the SYN without a cookie (RFC 7413; the host's tcp_fastopen must have bit 2). */
  readonly fastOpen?: boolean;
}

/**
 * Opens a listening socket. Accepted sockets inherit "reset on close" (SO_LINGER 0): a process that dies must never
 * look to its peers as if the stream had ended well. Throws a SystemError.
 */
export function openListenSocket(options: ListenSocketOptions): number {
  const family = addressFamily(options.endpoint.address);
  const fd = check(openStreamSocket(family, options.protocol), "socket");
  try {
    check(setOption(fd, OPTION.reuseAddress, 1), "SO_REUSEADDR");
    if (options.reusePort) check(setOption(fd, OPTION.reusePort, 1), "SO_REUSEPORT");
    if (options.transparent) check(setOption(fd, transparentOption(family), 1), "IP_TRANSPARENT");
    if (options.saveSyn) check(setOption(fd, OPTION.tcpSaveSyn, 1), "TCP_SAVE_SYN");
    check(setOption(fd, OPTION.tcpNoDelay, 1), "TCP_NODELAY");
    check(setLinger(fd, 0), "SO_LINGER");
    if (options.protocol === IPPROTO_TCP) keepUrgentInline(fd);
    if (options.receiveBufferBytes !== undefined) setReceiveBuffer(fd, options.receiveBufferBytes);
    check(bind(fd, options.endpoint), "bind");
    if (options.fastOpen) enableFastOpen(fd, options.backlog);
    check(listen(fd, options.backlog), "listen");
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/**
 * Fixes the receive buffer, before listen or connect. Beyond net.core.rmem_max only CAP_NET_ADMIN may go; without it
 * the kernel cuts `bytes` to that. The kernel doubles the value for its own overhead.
 */
export function setReceiveBuffer(fd: number, bytes: number): void {
  if (setOption(fd, OPTION.receiveBufferForce, bytes) < 0) setOption(fd, OPTION.receiveBuffer, bytes);
}

/** Urgent data stays in the stream, where it would otherwise be lost. Multipath TCP sockets know nothing else. */
export function keepUrgentInline(fd: number): void {
  setOption(fd, OPTION.urgentInline, 1);
}

/** Fast Open is an optimisation: a host without it still serves. */
function enableFastOpen(fd: number, backlog: number): void {
  if (setOption(fd, OPTION.tcpFastOpen, backlog) === 0) setOption(fd, OPTION.tcpFastOpenNoCookie, 1);
}

/** IP_TRANSPARENT or IPV6_TRANSPARENT, whichever this family of socket knows. */
export function transparentOption(family: number): SocketOption {
  return family === AF_INET ? OPTION.ipTransparent : OPTION.ipv6Transparent;
}

/** A port that is this process's on several addresses, so that each of its threads can listen there (SO_REUSEPORT). */
export interface ReservedPort {
  readonly port: number;
  release(): void;
}

/**
 * Takes an address and port away from everybody else who would listen there on this host, without listening there;
 * gives what takes it back. Throws a SystemError, such as EADDRINUSE.
 */
export function reserveEndpoint(endpoint: Endpoint): () => void {
  const fd = check(openStreamSocket(addressFamily(endpoint.address), IPPROTO_TCP), "socket");
  // What is left of earlier connections (TIME-WAIT) does not count; who listens or comes later does.
  setOption(fd, OPTION.reuseAddress, 1);
  const result = bind(fd, endpoint);
  setOption(fd, OPTION.reuseAddress, 0);
  if (result < 0) closeDescriptor(fd);
  check(result, `listen on ${formatEndpoint(endpoint)}`);
  return () => closeDescriptor(fd);
}

const RESERVE_ATTEMPTS = 16;

/** Takes a free port on every one of `addresses`. Throws a SystemError. */
export function reservePort(addresses: readonly IpAddress[]): ReservedPort {
  for (let attempt = 1; ; attempt++) {
    const fds: number[] = [];
    const release = () => fds.splice(0).forEach(closeDescriptor);
    try {
      let port = 0;
      for (const address of addresses) {
        const fd = check(openStreamSocket(addressFamily(address), IPPROTO_TCP), "socket");
        fds.push(fd);
        check(setOption(fd, OPTION.reuseAddress, 1), "SO_REUSEADDR");
        check(setOption(fd, OPTION.reusePort, 1), "SO_REUSEPORT");
        check(bind(fd, { address, port }), `bind to a free port of ${formatIpAddress(address)}`);
        port = localEndpoint(fd)?.port ?? 0;
      }
      return { port, release };
    } catch (error) {
      release();
      if (attempt === RESERVE_ATTEMPTS) throw error;
    }
  }
}
