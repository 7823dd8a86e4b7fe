/** The userspace transport's connections under the names of socket diagnostics, so that whoever judges uplinks reads one form. */
import type { ConnectionDiagnostics, SubflowDiagnostics, TcpState } from "../../platform/netlink/socket-diagnostics.ts";
import type { Subflow } from "../../stack/mptcp/subflow.ts";
import type { TcpState as StackState } from "../../stack/tcp/state.ts";
import type { StreamLeg } from "./legs.ts";

const STATES: Readonly<Record<StackState, TcpState>> = {
  closed: "CLOSED",
  listen: "LISTEN",
  synSent: "SYN-SENT",
  synReceived: "SYN-RECEIVED",
  established: "ESTABLISHED",
  finWait1: "FIN-WAIT-1",
  finWait2: "FIN-WAIT-2",
  closeWait: "CLOSE-WAIT",
  closing: "CLOSING",
  lastAck: "LAST-ACK",
  timeWait: "TIME-WAIT",
};

/** What was last seen of a subflow, to tell its rate. */
interface Seen {
  readonly cookie: number;
  readonly acknowledgedBytes: number;
  readonly atMs: number;
}

/** Numbers that differ between the workers of a process. */
const MOST_WORKERS = 256;

export class StackDiagnostics {
  readonly #worker: number;
  readonly #seen = new WeakMap<Subflow, Seen>();
  #numbers = 0;

  constructor(worker: number) {
    this.#worker = worker;
  }

  connections(legs: Iterable<StreamLeg>): ConnectionDiagnostics[] {
    const found: ConnectionDiagnostics[] = [];
    for (const leg of legs) if (leg.wantsMultipath) found.push(this.#connection(leg));
    return found;
  }

  #connection({ leg, connection, local, remote }: StreamLeg): ConnectionDiagnostics {
    const { sender, receiver, penalizations } = connection.parts.session;
    return {
      cookie: MOST_WORKERS * leg + this.#worker,
      state: connection.isConnected ? "ESTABLISHED" : "SYN-SENT",
      local,
      remote,
      token: connection.token,
      fallback: !connection.isMultipath,
      bytesSent: Math.max(0, sender.next - 1),
      bytesAcknowledged: Math.max(0, sender.acknowledged - 1),
      bytesReceived: Math.max(0, receiver.next - 1),
      bytesRetransmitted: sender.reinjectedBytes,
      penalizations,
    };
  }

  subflows(legs: Iterable<StreamLeg>, nowMs: number): SubflowDiagnostics[] {
    const found: SubflowDiagnostics[] = [];
    for (const { connection } of legs) {
      if (!connection.isMultipath) continue;
      for (const subflow of connection.subflows) found.push(this.#subflow(connection.token, subflow, nowMs));
    }
    return found;
  }

  #subflow(token: number, subflow: Subflow, nowMs: number): SubflowDiagnostics {
    const { tcp, localAddressId: localId, remoteAddressId: remoteId, isBackup: backup } = subflow;
    const { local, remote, sender, roundTrip } = tcp;
    const { recovery } = sender;
    // Both sides may put several segments into one packet of the device: what counts is how many the path has carried.
    const segments = (bytes: number) => Math.ceil(bytes / sender.segmentBytes);
    const bytesAcknowledged = Math.max(0, sender.acknowledged - 1);
    const bytesReceived = Math.max(0, tcp.readPosition - 1) + tcp.readableBytes;
    const bytesSent = Math.max(0, sender.next - 1) + recovery.repeatedBytes;
    const { cookie, deliveryBitsPerSecond } = this.#look(subflow, bytesAcknowledged, nowMs);
    return {
      cookie,
      state: STATES[tcp.state],
      local,
      remote,
      token,
      localId,
      remoteId,
      backup,
      rttMs: roundTrip.smoothedMs ?? 0,
      leastRttMs: roundTrip.minimumMs ?? 0,
      receiveRttMs: subflow.receiveRttMs ?? 0,
      congestionWindow: Math.floor(recovery.congestion.windowBytes / sender.segmentBytes),
      bytesSent,
      bytesAcknowledged,
      bytesReceived,
      bytesRetransmitted: recovery.repeatedBytes,
      dataSegmentsSent: segments(bytesSent),
      dataSegmentsReceived: segments(bytesReceived + tcp.outOfOrderBytes),
      segmentsRetransmitted: recovery.repeatedSegments,
      segmentsOutOfOrder: segments(tcp.overtakingBytes),
      lost: segments(recovery.sent.lostBytes),
      unacknowledged: segments(recovery.sent.outstandingBytes),
      timeouts: roundTrip.backOffs,
      rtoMs: roundTrip.baseTimeoutMs,
      notSentBytes: sender.unsentBytes,
      deliveryBitsPerSecond,
    };
  }

  /** The rate is that since the look before. */
  #look(subflow: Subflow, acknowledgedBytes: number, nowMs: number): { cookie: number; deliveryBitsPerSecond: number } {
    const before = this.#seen.get(subflow);
    const cookie = before?.cookie ?? MOST_WORKERS * ++this.#numbers + this.#worker;
    this.#seen.set(subflow, { cookie, acknowledgedBytes, atMs: nowMs });
    const bits = 8 * (acknowledgedBytes - (before?.acknowledgedBytes ?? acknowledgedBytes));
    const seconds = Math.max(1, nowMs - (before?.atMs ?? nowMs)) / 1000;
    return { cookie, deliveryBitsPerSecond: Math.round(bits / seconds) };
  }
}
