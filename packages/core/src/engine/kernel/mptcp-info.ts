/**
 * What the kernel tells about a Multipath TCP connection: struct mptcp_info and mptcp_full_info of linux/mptcp.h, and
 * struct tcp_info of linux/tcp.h. Kernels differ in length: fields are read only where the kernel wrote.
 */
import { addressOf } from "../../platform/libc.ts";
import { OPTION, readOption } from "../../platform/socket.ts";
import { decodeSocketAddress } from "../../platform/socket-address.ts";
import type { SubflowInfo } from "../engine.ts";

const MPTCP_INFO_BYTES = 96;
const TCP_INFO_BYTES = 280;
const SUBFLOW_INFO_BYTES = 264;
const FULL_INFO_BYTES = 40 + MPTCP_INFO_BYTES;
const MOST_SUBFLOWS = 16;

/** What the kernel answers lands here: every call reads its own answer before the next one. */
const mptcpInfo = new Uint8Array(MPTCP_INFO_BYTES);
const tcpInfo = new Uint8Array(TCP_INFO_BYTES);
const tcpInfoView = new DataView(tcpInfo.buffer);
const SUBFLOW_HEADER_BYTES = 16;
const firstSubflow = new Uint8Array(SUBFLOW_HEADER_BYTES + TCP_INFO_BYTES);
const firstSubflowHeader = new Uint32Array(firstSubflow.buffer, 0, 4);

/** The local token of the connection, or undefined when the socket is not Multipath TCP. */
export function readToken(fd: number): number | undefined {
  const length = readOption(fd, OPTION.mptcpInfo, mptcpInfo);
  return length < 16 ? undefined : new DataView(mptcpInfo.buffer).getUint32(12, true);
}

/** The TCP state of the connection's first subflow (1: ESTABLISHED, 3: SYN_RECV), or undefined on plain TCP. */
export function firstSubflowState(fd: number): number | undefined {
  // The kernel refuses a header in which it finds its own fields filled in, as its last answer has left them.
  firstSubflowHeader.fill(0);
  firstSubflowHeader[0] = SUBFLOW_HEADER_BYTES;
  firstSubflowHeader[3] = TCP_INFO_BYTES;
  const length = readOption(fd, OPTION.mptcpTcpInfo, firstSubflow);
  return length <= SUBFLOW_HEADER_BYTES ? undefined : firstSubflow[SUBFLOW_HEADER_BYTES];
}

/** Fields of struct tcp_info that this project reads. */
export interface TcpInfo {
  readonly state: number;
  /** TCPI_OPT_* bits: 1 timestamps, 2 SACK, 4 window scale, 32 data in the SYN. */
  readonly options: number;
  /** The peer's window scale. */
  readonly sendWindowScale: number;
  readonly rttMs: number;
  readonly totalRetransmissions: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

function decodeTcpInfo(view: DataView): TcpInfo {
  return {
    state: view.getUint8(0),
    options: view.getUint8(5),
    sendWindowScale: view.getUint8(6) & 0x0f,
    rttMs: view.getUint32(68, true) / 1000,
    totalRetransmissions: view.getUint32(100, true),
    bytesReceived: Number(view.getBigUint64(128, true)),
    bytesSent: Number(view.getBigUint64(200, true)),
  };
}

/** struct tcp_info of a plain TCP socket, or undefined. */
export function readTcpInfo(fd: number): TcpInfo | undefined {
  return readOption(fd, OPTION.tcpInfo, tcpInfo) < 0 ? undefined : decodeTcpInfo(tcpInfoView);
}

/** Every subflow of a Multipath TCP connection (at most 16), or undefined when the socket is not one. */
export function readSubflows(fd: number): SubflowInfo[] | undefined {
  const subflows = new Uint8Array(SUBFLOW_INFO_BYTES * MOST_SUBFLOWS);
  const tcp = new Uint8Array(TCP_INFO_BYTES * MOST_SUBFLOWS);
  const request = new Uint8Array(FULL_INFO_BYTES);
  const view = new DataView(request.buffer);
  view.setUint32(4, TCP_INFO_BYTES, true);
  view.setUint32(12, SUBFLOW_INFO_BYTES, true);
  view.setUint32(20, MOST_SUBFLOWS, true);
  view.setBigUint64(24, addressOf(subflows), true);
  view.setBigUint64(32, addressOf(tcp), true);
  if (readOption(fd, OPTION.mptcpFullInfo, request) < 0) return undefined;
  const count = Math.min(view.getUint32(16, true), MOST_SUBFLOWS);
  return Array.from({ length: count }, (_, index) => decodeSubflow(subflows, tcp, index)).filter(
    (subflow) => subflow !== undefined,
  );
}

/** struct mptcp_subflow_full_info: id, then both ends as 128-byte sockaddr_storage at 8 and 136. */
function decodeSubflow(subflows: Uint8Array, tcp: Uint8Array, index: number): SubflowInfo | undefined {
  const at = index * SUBFLOW_INFO_BYTES;
  const local = decodeSocketAddress(subflows.subarray(at + 8, at + 136));
  const remote = decodeSocketAddress(subflows.subarray(at + 136, at + SUBFLOW_INFO_BYTES));
  if (local === undefined || remote === undefined) return undefined;
  const info = decodeTcpInfo(new DataView(tcp.buffer, index * TCP_INFO_BYTES, TCP_INFO_BYTES));
  const { rttMs, bytesSent, bytesReceived, totalRetransmissions } = info;
  return { local, remote, rttMs, bytesSent, bytesReceived, retransmittedSegments: totalRetransmissions };
}
