/** The kernel engine: Linux's own TCP and Multipath TCP (v1) sockets. A leg is a file descriptor. */
import type { Endpoint } from "../../base/ip-address.ts";
import type { DescriptorLedger } from "../../platform/descriptor-ledger.ts";
import { EPOLL, type Epoll } from "../../platform/epoll.ts";
import { ERRNO } from "../../platform/errno.ts";
import * as socket from "../../platform/socket.ts";
import { addressFamily } from "../../platform/socket-address.ts";
import { TCP_OPTION, type TcpOption } from "../../wire/tcp-options.ts";
import type {
  Capabilities,
  ConnectionInfo,
  ConnectOptions,
  ConnectResult,
  Engine,
  FallbackReason,
  Leg,
  ListenOptions,
} from "../engine.ts";
import { KernelPipe } from "./kernel-pipe.ts";
import { firstSubflowState, readSubflows, readTcpInfo, readToken } from "./mptcp-info.ts";
import { probeCapabilities } from "./probe.ts";

const LISTEN_BACKLOG = 4096;
/**
 * Receive buffer of Multipath TCP sockets. While Linux still adapts the size, data that arrives over two subflows can lie
 * beyond the window it has just announced; it is acknowledged by the subflow, dropped by the connection (MPTcpExt
 * NoDSSInWindow) and comes again a retransmission timeout later: seconds for 3 MB. With a fixed one that is wide
 * from the start nothing is dropped. 8 MiB (the kernel doubles it) carry 1 Gbit/s over 60 ms.
 */
const MULTIPATH_RECEIVE_BYTES = 8 * 1024 * 1024;
const WATCHED = EPOLL.in | EPOLL.urgent | EPOLL.peerClosed | EPOLL.edgeTriggered;
const TCP_SYN_SENT = 2;
const TCP_SYN_RECV = 3;
/** Bits of tcpi_options. */
const TCPI_OPT = { sack: 2, windowScale: 4 } as const;

export class KernelEngine implements Engine {
  readonly name = "kernel";
  readonly capabilities: Capabilities = probeCapabilities();
  readonly #epoll: Epoll;

  readonly #ledger: DescriptorLedger | undefined;

  /** Readiness of the legs is reported by `epoll`. Every descriptor of this engine stands in the `ledger`. */
  constructor(epoll: Epoll, ledger?: DescriptorLedger) {
    this.#epoll = epoll;
    this.#ledger = ledger;
  }

  listen({ endpoint, protocol, transparent = false, receiveBufferBytes }: ListenOptions): Leg {
    const fd = socket.openListenSocket({
      endpoint,
      protocol: protocolNumber(protocol, this.capabilities),
      backlog: LISTEN_BACKLOG,
      reusePort: true,
      transparent,
      // Multipath TCP sockets do not have the option.
      saveSyn: transparent && protocol === "tcp",
      ...(receiveBufferBytes !== undefined && { receiveBufferBytes }),
      ...(protocol === "mptcp" && { fastOpen: true, receiveBufferBytes: MULTIPATH_RECEIVE_BYTES }),
    });
    this.#ledger?.note(fd);
    return fd;
  }

  accept(listener: Leg): Leg {
    const fd = socket.accept(listener);
    this.#ledger?.note(fd);
    return fd;
  }

  connect(options: ConnectOptions): ConnectResult {
    const result = this.#connect(options);
    this.#ledger?.note(result.leg);
    return result;
  }

  #connect(options: ConnectOptions): ConnectResult {
    const family = addressFamily(options.peer.address);
    const fd = socket.openStreamSocket(family, protocolNumber(options.protocol, this.capabilities));
    if (fd < 0) return { leg: fd, taken: 0 };
    if (options.protocol === "mptcp") socket.setReceiveBuffer(fd, MULTIPATH_RECEIVE_BYTES);
    const failure = prepare(fd, family, options);
    if (failure < 0) return abandon(fd, failure);
    if (options.firstBytes !== undefined) {
      const taken = socket.connectWithData(fd, options.peer, options.firstBytes);
      if (taken >= 0) return { leg: fd, taken };
      if (taken !== -ERRNO.EOPNOTSUPP) return begun(fd, taken);
    }
    return begun(fd, socket.connect(fd, options.peer));
  }

  watch(leg: Leg, tag: number, writes: boolean): number {
    return this.#epoll.add(leg, writes ? WATCHED | EPOLL.out : WATCHED, tag);
  }

  changeWatch(leg: Leg, tag: number, writes: boolean): number {
    return this.#epoll.change(leg, writes ? WATCHED | EPOLL.out : WATCHED, tag);
  }

  read(leg: Leg, into: Uint8Array, length: number): number {
    return socket.receive(leg, into, length);
  }

  peek(leg: Leg, into: Uint8Array, length: number): number {
    return socket.peek(leg, into, length);
  }

  discard(leg: Leg, length: number): number {
    return socket.discard(leg, length);
  }

  write(leg: Leg, from: Uint8Array, length: number, more = false): number {
    return socket.send(leg, from, length, more);
  }

  openPipe(bytes: number): KernelPipe | undefined {
    return KernelPipe.open(bytes, this.#ledger);
  }

  shutdownWrite(leg: Leg): number {
    return socket.shutdownWrite(leg);
  }

  /** Every socket has SO_LINGER 0 from its birth, so closing is resetting. */
  reset(leg: Leg): void {
    this.#ledger?.forget(leg);
    socket.closeDescriptor(leg);
  }

  close(leg: Leg): void {
    socket.setLinger(leg, "off");
    this.reset(leg);
  }

  takeError(leg: Leg): number {
    return socket.takeError(leg);
  }

  isEstablished(leg: Leg): boolean {
    const state = firstSubflowState(leg) ?? readTcpInfo(leg)?.state;
    return state !== TCP_SYN_SENT && state !== TCP_SYN_RECV;
  }

  isMultipath(leg: Leg): boolean {
    const answer = socket.getOption(leg, socket.OPTION.tcpIsMptcp);
    // Kernels before 6.10 have no TCP_IS_MPTCP; there only Multipath TCP sockets know MPTCP_INFO.
    return answer < 0 ? readToken(leg) !== undefined : answer === 1;
  }

  synDscp(leg: Leg): number | undefined {
    const length = socket.readOption(leg, socket.OPTION.tcpSavedSyn, savedSyn);
    return length < 2 ? undefined : dscpOf(savedSyn);
  }

  localEndpoint(leg: Leg): Endpoint | undefined {
    return socket.localEndpoint(leg);
  }

  remoteEndpoint(leg: Leg): Endpoint | undefined {
    return socket.remoteEndpoint(leg);
  }

  info(leg: Leg): ConnectionInfo {
    const subflows = readSubflows(leg);
    const token = readToken(leg);
    if (subflows !== undefined && token !== undefined) return { multipath: true, token, subflows };
    return plainInfo(leg);
  }

  /** A socket does not show the SYN+ACK, but what it negotiated. Timestamps are left out: their values are not known. */
  tcpOptions(leg: Leg): TcpOption[] {
    const info = readTcpInfo(leg);
    if (info === undefined) return [];
    const options: TcpOption[] = [];
    if ((info.options & TCPI_OPT.sack) !== 0) options.push({ kind: TCP_OPTION.sackPermitted, data: new Uint8Array() });
    if ((info.options & TCPI_OPT.windowScale) !== 0) {
      options.push({ kind: TCP_OPTION.windowScale, data: Uint8Array.of(info.sendWindowScale) });
    }
    return options;
  }
}

/** IP header and TCP header of a SYN, with their options. */
const savedSyn = new Uint8Array(256);

/** The traffic class is the second byte of an IPv4 header, and the 8 bits behind the version of an IPv6 header. */
function dscpOf(header: Uint8Array): number {
  const [first = 0, second = 0] = header;
  const trafficClass = first >> 4 === 4 ? second : ((first & 0x0f) << 4) | (second >> 4);
  return trafficClass >> 2;
}

function protocolNumber(protocol: "mptcp" | "tcp", { multipathTcp }: Capabilities): socket.TransportProtocol {
  return protocol === "mptcp" && multipathTcp.available ? socket.IPPROTO_MPTCP : socket.IPPROTO_TCP;
}

/** Options and source address of a socket that is about to connect. 0 or minus errno. */
function prepare(fd: number, family: number, { protocol, source, transparent, firstBytes }: ConnectOptions): number {
  socket.setOption(fd, socket.OPTION.tcpNoDelay, 1);
  socket.setLinger(fd, 0);
  if (protocol === "tcp") socket.keepUrgentInline(fd);
  if (firstBytes !== undefined) socket.setOption(fd, socket.OPTION.tcpFastOpenNoCookie, 1);
  if (source === undefined) return 0;
  if (transparent) {
    const result = socket.setOption(fd, socket.transparentOption(family), 1);
    if (result < 0) return result;
  }
  // The port is chosen at connect, when the whole 4-tuple is known: one source address reaches many destinations.
  if (source.port === 0) socket.setOption(fd, socket.OPTION.ipBindAddressNoPort, 1);
  return socket.bind(fd, source);
}

function begun(fd: number, result: number): ConnectResult {
  return result < 0 && result !== -ERRNO.EINPROGRESS ? abandon(fd, result) : { leg: fd, taken: 0 };
}

function abandon(fd: number, failure: number): ConnectResult {
  socket.closeDescriptor(fd);
  return { leg: failure, taken: 0 };
}

/** A socket that is not Multipath TCP: asked for and refused, or plain TCP from the start. */
function plainInfo(fd: number): ConnectionInfo {
  const local = socket.localEndpoint(fd);
  const remote = socket.remoteEndpoint(fd);
  const tcp = readTcpInfo(fd);
  if (local === undefined || remote === undefined || tcp === undefined) return { multipath: false, subflows: [] };
  const { rttMs, bytesSent, bytesReceived, totalRetransmissions } = tcp;
  const subflow = { local, remote, rttMs, bytesSent, bytesReceived, retransmittedSegments: totalRetransmissions };
  const wanted = socket.getOption(fd, socket.OPTION.protocol) === socket.IPPROTO_MPTCP;
  return wanted
    ? { multipath: false, fallback: fallbackReason(totalRetransmissions), subflows: [subflow] }
    : { multipath: false, subflows: [subflow] };
}

/**
 * Linux drops MP_CAPABLE after two lost SYNs (net.mptcp.syn_retrans_before_tcp_fallback), so retransmissions at the
 * start speak for a path that drops it, none for a peer (or a middlebox that strips the option) without MPTCP.
 */
function fallbackReason(totalRetransmissions: number): FallbackReason {
  return totalRetransmissions >= 2 ? "syn-dropped" : "peer-without-mptcp";
}
