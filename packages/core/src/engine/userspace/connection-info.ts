/** What the userspace engine tells of a connection. */

import type { MptcpConnection } from "../../stack/mptcp/connection.ts";
import type { FallbackReason as StackReason } from "../../stack/mptcp/events.ts";
import type { Subflow } from "../../stack/mptcp/subflow.ts";
import { TCP_OPTION, type TcpOption } from "../../wire/tcp-options.ts";
import type { ConnectionInfo, FallbackReason, SubflowInfo } from "../engine.ts";

const FALLBACK: Readonly<Record<Exclude<StackReason, "notWanted">, FallbackReason>> = {
  handshake: "peer-without-mptcp",
  synLost: "syn-dropped",
  optionsRemoved: "unknown",
  checksum: "unknown",
  peer: "unknown",
};

/** `wantsMultipath`: it was to be Multipath TCP. */
export function describeConnection(connection: MptcpConnection, wantsMultipath: boolean): ConnectionInfo {
  const subflows = connection.subflows.map(describeSubflow);
  const { fallback } = connection.parts.session;
  if (fallback === undefined) return { multipath: true, token: connection.token, subflows };
  const isFallback = wantsMultipath && fallback !== "notWanted";
  return { multipath: false, ...(isFallback && { fallback: FALLBACK[fallback] }), subflows };
}

function describeSubflow({ tcp }: Subflow): SubflowInfo {
  const { local, remote, sender, roundTrip } = tcp;
  return {
    local,
    remote,
    rttMs: roundTrip.smoothedMs ?? 0,
    bytesSent: Math.max(0, sender.next - 1) + sender.recovery.repeatedBytes,
    bytesReceived: Math.max(0, tcp.readPosition - 1) + tcp.readableBytes,
    retransmittedSegments: sender.recovery.repeatedSegments,
  };
}

/** The options of the peer's SYN+ACK. Timestamps are left out, as their values would have to be the peer's. */
export function describeOptions({ subflows }: MptcpConnection): TcpOption[] {
  const agreed = subflows[0]?.tcp.agreed;
  const options: TcpOption[] = [];
  if (agreed?.selective) options.push({ kind: TCP_OPTION.sackPermitted, data: new Uint8Array() });
  if (agreed?.windowShift !== undefined) {
    options.push({ kind: TCP_OPTION.windowScale, data: Uint8Array.of(agreed.windowShift) });
  }
  return options;
}
