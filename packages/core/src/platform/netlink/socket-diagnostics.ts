/**
 * Socket diagnostics (sock_diag(7), what `ss` asks): every Multipath TCP connection of this network namespace and every
 * TCP subflow of one, without touching a socket. Structures are those of linux/inet_diag.h, linux/tcp.h and
 * linux/mptcp.h; kernels differ in length, so that a field the kernel did not write is 0.
 */
import { concatBytes, readUint16 } from "../../base/bytes.ts";
import { type Endpoint, type IpAddress, ipAddressFromBytes, isIpv4, networkBytes } from "../../base/ip-address.ts";
import { ERRNO, SystemError } from "../errno.ts";
import { AF_INET, AF_INET6 } from "../socket-address.ts";
import { attribute, TYPE_MASK, value } from "./message.ts";
import { FLAG, NETLINK_SOCK_DIAG, NetlinkClient } from "./socket.ts";

const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
/** Asks for TCP sockets of both families at once: the kernel walks its table once, which takes milliseconds. */
const TCPDIAG_GETSOCK = 18;
const IPPROTO_TCP = 6;
const IPPROTO_MPTCP = 262;
const REQUEST_PROTOCOL = 3;
const ATTRIBUTE = { info: 2, upperLayerProtocol: 19 } as const;
const INFO_WANTED = 1 << (ATTRIBUTE.info - 1);
const UPPER_LAYER_MPTCP = 3;
const SUBFLOW_ATTRIBUTE = { localToken: 2, flags: 8, remoteId: 9, localId: 10 } as const;
const SUBFLOW_FLAG = { backupByPeer: 0x10, backupByUs: 0x20 } as const;
const MESSAGE_BYTES = 72;

/** TCP states by their number in the kernel, include/net/tcp_states.h. */
const STATES = [
  "unknown",
  "ESTABLISHED",
  "SYN-SENT",
  "SYN-RECEIVED",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "TIME-WAIT",
  "CLOSED",
  "CLOSE-WAIT",
  "LAST-ACK",
  "LISTEN",
  "CLOSING",
] as const;

export type TcpState = (typeof STATES)[number];

/** Sockets in these states carry bytes, or may still. */
const LIVE_STATES: readonly TcpState[] = [
  "ESTABLISHED",
  "SYN-SENT",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "CLOSE-WAIT",
  "LAST-ACK",
  "CLOSING",
];
const LIVE_MASK = LIVE_STATES.reduce((mask, state) => mask | (1 << STATES.indexOf(state)), 0);

interface SocketDiagnostics {
  /** A number that no other socket of this host gets as long as it runs. */
  readonly cookie: number;
  readonly state: TcpState;
  readonly local: Endpoint;
  readonly remote: Endpoint;
}

/** One Multipath TCP connection: struct mptcp_info. Bytes are payload, counted once however often they were sent. */
export interface ConnectionDiagnostics extends SocketDiagnostics {
  /** The local token (RFC 8684). */
  readonly token: number;
  /** It went back to plain TCP. */
  readonly fallback: boolean;
  readonly bytesSent: number;
  readonly bytesAcknowledged: number;
  readonly bytesReceived: number;
  /** Given to a second subflow: reinjections. */
  readonly bytesRetransmitted: number;
  /** Times that a subflow's congestion window was halved because it held up the connection's; Linux does not. */
  readonly penalizations?: number;
}

/** One subflow: struct tcp_info. Counters are those of its whole life. */
export interface SubflowDiagnostics extends SocketDiagnostics {
  /** The local token of its connection. */
  readonly token: number;
  readonly localId: number;
  readonly remoteId: number;
  /** This host, or the peer, wants it used only when no other works (RFC 8684 section 3.3.8). */
  readonly backup: boolean;
  /** Smoothed round-trip time of what this host sent. */
  readonly rttMs: number;
  readonly leastRttMs: number;
  /** The receiver's estimate of the round-trip time: also while only the peer sends. 0 when not known. */
  readonly receiveRttMs: number;
  /** Segments. */
  readonly congestionWindow: number;
  readonly bytesSent: number;
  readonly bytesAcknowledged: number;
  readonly bytesReceived: number;
  readonly bytesRetransmitted: number;
  readonly dataSegmentsSent: number;
  readonly dataSegmentsReceived: number;
  readonly segmentsRetransmitted: number;
  /** Segments that arrived before an earlier one: what a receiver sees of loss. */
  readonly segmentsOutOfOrder: number;
  /** Segments the kernel takes for lost now. */
  readonly lost: number;
  /** Segments sent and not acknowledged now. */
  readonly unacknowledged: number;
  /** Retransmission timeouts in a row without an answer. */
  readonly timeouts: number;
  /** The retransmission timeout (RFC 6298), without its doublings. */
  readonly rtoMs: number;
  /** Written and not sent yet. */
  readonly notSentBytes: number;
  readonly deliveryBitsPerSecond: number;
}

/** What the kernel knows of Multipath TCP at one moment. */
export interface SocketSnapshot {
  readonly connections: readonly ConnectionDiagnostics[];
  readonly subflows: readonly SubflowDiagnostics[];
}

export class SocketDiagnosticsClient {
  readonly #client = new NetlinkClient(NETLINK_SOCK_DIAG);

  /** Every Multipath TCP connection. */
  connections(): ConnectionDiagnostics[] {
    return Array.from(this.#connectionParts()).flat();
  }

  /** Every subflow of a Multipath TCP connection. */
  subflows(): SubflowDiagnostics[] {
    return Array.from(this.#subflowParts()).flat();
  }

  /**
   * Both, with a turn of the event loop after every datagram of the kernel's: a gateway has thousands of sockets. Not to
   * be asked for anything else meanwhile.
   */
  async snapshot(): Promise<SocketSnapshot> {
    return {
      connections: await withTurns(this.#connectionParts()),
      subflows: await withTurns(this.#subflowParts()),
    };
  }

  *#connectionParts(): Generator<ConnectionDiagnostics[]> {
    for (const family of [AF_INET, AF_INET6]) {
      yield* this.#dump(SOCK_DIAG_BY_FAMILY, encodeRequest(family, IPPROTO_MPTCP), decodeConnection);
    }
  }

  *#subflowParts(): Generator<SubflowDiagnostics[]> {
    yield* this.#dump(TCPDIAG_GETSOCK, TCP_REQUEST, decodeSubflow);
  }

  *#dump<Found>(
    type: number,
    request: Uint8Array,
    decode: (body: Uint8Array) => Found | undefined,
  ): Generator<Found[]> {
    for (const part of this.#client.requestInParts(type, FLAG.dump, request, "list sockets")) {
      yield part.flatMap(({ body }) => decode(body) ?? []);
    }
  }

  /**
   * Ends a TCP socket of this host, as `ss -K` does: its peer gets a reset. False when there is none between these ends.
   * Throws a SystemError, such as EOPNOTSUPP from a kernel without INET_DIAG_DESTROY.
   */
  destroy({ local, remote }: Pick<SocketDiagnostics, "local" | "remote">): boolean {
    const request = encodeRequest(isIpv4(local.address) ? AF_INET : AF_INET6, IPPROTO_TCP, { local, remote });
    try {
      this.#client.request(SOCK_DESTROY, 0, request, "end a socket");
      return true;
    } catch (error) {
      if (error instanceof SystemError && error.errno === ERRNO.ENOENT) return false;
      throw error;
    }
  }

  close(): void {
    this.#client.close();
  }
}

async function withTurns<Found>(parts: Iterable<Found[]>): Promise<Found[]> {
  const all: Found[] = [];
  for (const part of parts) {
    for (const found of part) all.push(found);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return all;
}

/**
 * struct inet_diag_req_v2: family(1) protocol(1) ext(1) pad(1) states(4), then struct inet_diag_sockid: ports(4),
 * addresses(32), interface(4), cookie(8). A protocol over 255 goes beside it.
 */
function encodeRequest(
  family: number,
  protocol: number,
  ends?: { readonly local: Endpoint; readonly remote: Endpoint },
): Uint8Array {
  const request = new Uint8Array(56);
  request.set([family, protocol & 0xff, INFO_WANTED, 0]);
  const view = new DataView(request.buffer);
  view.setUint32(4, LIVE_MASK, true);
  if (ends !== undefined) {
    view.setUint16(8, ends.local.port);
    view.setUint16(10, ends.remote.port);
    request.set(networkBytes(ends.local.address), 12);
    request.set(networkBytes(ends.remote.address), 28);
    request.fill(0xff, 48);
  }
  return concatBytes([request, attribute(REQUEST_PROTOCOL, value.uint32(protocol))]);
}

/** struct inet_diag_req: family(1) lengths(2) ext(1) id(48) states(4) marks(4). The family is not looked at. */
const TCP_REQUEST = encodeTcpRequest();

function encodeTcpRequest(): Uint8Array {
  const request = new Uint8Array(60);
  request[3] = INFO_WANTED;
  new DataView(request.buffer).setUint32(52, LIVE_MASK, true);
  return request;
}

/** The connection in the body of a diagnostic message; undefined where the kernel gave no struct mptcp_info. */
export function decodeConnection(body: Uint8Array): ConnectionDiagnostics | undefined {
  const message = new Fields(body, 0, body.length);
  const info = message.attribute(MESSAGE_BYTES, ATTRIBUTE.info);
  if (info === undefined) return undefined;
  const { cookie, state, local, remote } = decodeSocket(body, message);
  return {
    cookie,
    state,
    local,
    remote,
    token: info.uint32(12),
    fallback: (info.uint32(8) & 1) !== 0,
    bytesRetransmitted: info.uint64(48),
    bytesSent: info.uint64(56),
    bytesReceived: info.uint64(64),
    bytesAcknowledged: info.uint64(72),
  };
}

/** The subflow in the body of a diagnostic message; undefined for every other TCP socket. */
export function decodeSubflow(body: Uint8Array): SubflowDiagnostics | undefined {
  const message = new Fields(body, 0, body.length);
  const multipath = message.attribute(MESSAGE_BYTES, ATTRIBUTE.upperLayerProtocol)?.attribute(0, UPPER_LAYER_MPTCP);
  const info = message.attribute(MESSAGE_BYTES, ATTRIBUTE.info);
  if (multipath === undefined || info === undefined) return undefined;
  const flags = multipath.attribute(0, SUBFLOW_ATTRIBUTE.flags)?.uint32(0) ?? 0;
  // Spread syntax before this many fields makes V8 build the object a hundred times slower: 60 us each.
  const { cookie, state, local, remote } = decodeSocket(body, message);
  return {
    cookie,
    state,
    local,
    remote,
    token: multipath.attribute(0, SUBFLOW_ATTRIBUTE.localToken)?.uint32(0) ?? 0,
    localId: multipath.attribute(0, SUBFLOW_ATTRIBUTE.localId)?.uint8(0) ?? 0,
    remoteId: multipath.attribute(0, SUBFLOW_ATTRIBUTE.remoteId)?.uint8(0) ?? 0,
    backup: (flags & (SUBFLOW_FLAG.backupByPeer | SUBFLOW_FLAG.backupByUs)) !== 0,
    timeouts: info.uint8(4),
    rtoMs: info.uint32(8) / 1000 / 2 ** info.uint8(4),
    unacknowledged: info.uint32(24),
    lost: info.uint32(32),
    rttMs: info.uint32(68) / 1000,
    congestionWindow: info.uint32(80),
    receiveRttMs: info.uint32(92) / 1000,
    segmentsRetransmitted: info.uint32(100),
    bytesAcknowledged: info.uint64(120),
    bytesReceived: info.uint64(128),
    notSentBytes: info.uint32(144),
    leastRttMs: info.uint32(148) / 1000,
    dataSegmentsReceived: info.uint32(152),
    dataSegmentsSent: info.uint32(156),
    deliveryBitsPerSecond: 8 * info.uint64(160),
    bytesSent: info.uint64(200),
    bytesRetransmitted: info.uint64(208),
    segmentsOutOfOrder: info.uint32(224),
  };
}

/** struct inet_diag_msg: family(1) state(1) timer(1) retrans(1), ports(4), addresses(32), interface(4), cookie(8), ... */
function decodeSocket(body: Uint8Array, message: Fields): SocketDiagnostics {
  const bytes = body[0] === AF_INET ? 4 : 16;
  return {
    cookie: message.uint64(44),
    state: STATES[body[1] ?? 0] ?? "unknown",
    local: { address: ipAddressFromBytes(body.subarray(8, 8 + bytes)) as IpAddress, port: readUint16(body, 4) },
    remote: { address: ipAddressFromBytes(body.subarray(24, 24 + bytes)) as IpAddress, port: readUint16(body, 6) },
  };
}

/**
 * A structure or a list of attributes within a message; what lies behind its end is 0. A dump has thousands of sockets
 * with twenty attributes each, of which three are wanted: attributes are looked for in place, nothing is copied.
 */
class Fields {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #start: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, start: number, end: number, view = new DataView(bytes.buffer, bytes.byteOffset)) {
    this.#bytes = bytes;
    this.#view = view;
    this.#start = start;
    this.#end = Math.min(end, bytes.length);
  }

  uint8(offset: number): number {
    const at = this.#start + offset;
    return at + 1 > this.#end ? 0 : this.#view.getUint8(at);
  }

  uint32(offset: number): number {
    const at = this.#start + offset;
    return at + 4 > this.#end ? 0 : this.#view.getUint32(at, true);
  }

  /** Exact up to 2^53. */
  uint64(offset: number): number {
    return this.uint32(offset) + 2 ** 32 * this.uint32(offset + 4);
  }

  /** The value of the first attribute of this type, of those that begin at `offset`. */
  attribute(offset: number, type: number): Fields | undefined {
    for (let at = this.#start + offset; at + 4 <= this.#end; ) {
      const length = this.#view.getUint16(at, true);
      if (length < 4 || at + length > this.#end) return undefined;
      if ((this.#view.getUint16(at + 2, true) & TYPE_MASK) === type) {
        return new Fields(this.#bytes, at + 4, at + length, this.#view);
      }
      at += (length + 3) & ~3;
    }
    return undefined;
  }
}
