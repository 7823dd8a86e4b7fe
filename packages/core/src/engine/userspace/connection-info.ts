/** What the userspace engine tells of a connection. */
import type { HostConnection } from "../../stack/host/host-connection.ts";
import type { FallbackReason as StackReason } from "../../stack/mptcp/events.ts";
import type { Subflow } from "../../stack/mptcp/subflow.ts";
import { TCP_OPTION, type TcpOption } from "../../wire/tcp-options.ts";
import type { ConnectionInfo, FallbackReason, SubflowInfo } from "../engine.ts";

const FALLBACK: Readonly<Record<StackReason, FallbackReason>> = {
  handshake: "peer-without-mptcp",
  synLost: "syn-dropped",
  optionsRemoved: "unknown",
  checksum: "unknown",
  peer: "unknown",
};

export function describeConnection({ mptcp, wantsMultipath }: HostConnection): ConnectionInfo {
  const subflows = mptcp.subflows.map(describeSubflow);
  const { fallback } = mptcp.parts.session;
  if (fallback === undefined) return { multipath: true, token: mptcp.token, subflows };
  return { multipath: false, ...(wantsMultipath && { fallback: FALLBACK[fallback] }), subflows };
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
export function describeOptions({ mptcp }: HostConnection): TcpOption[] {
  const agreed = mptcp.subflows[0]?.tcp.agreed;
  const options: TcpOption[] = [];
  if (agreed?.selective) options.push({ kind: TCP_OPTION.sackPermitted, data: new Uint8Array() });
  if (agreed?.windowShift !== undefined) {
    options.push({ kind: TCP_OPTION.windowScale, data: Uint8Array.of(agreed.windowShift) });
  }
  return options;
}
