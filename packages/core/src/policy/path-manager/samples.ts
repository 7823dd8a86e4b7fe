/** What every connection and subflow has carried, as the path manager looks at it: taken from what an engine counts. */
import type { Endpoint } from "../../base/ip-address.ts";

/** One subflow, as sampled. */
export interface SubflowSample {
  readonly token: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Sent and not acknowledged by the peer's TCP. */
  readonly inFlightSegments: number;
  /** Acknowledged by the peer's TCP since the subflow began. */
  readonly acknowledgedBytes: number;
  /** The retransmission timeout (RFC 6298), without its doublings. */
  readonly rtoMs: number;
}

/** One connection, as sampled: payload, counted once however often and over which subflow it was sent. */
export interface ConnectionSample {
  readonly token: number;
  readonly sentBytes: number;
  /** By DATA_ACK (RFC 8684 section 3.3.2). */
  readonly acknowledgedBytes: number;
  readonly receivedBytes: number;
}

/** Everything that was sampled in one look. */
export interface PathSamples {
  readonly connections: readonly ConnectionSample[];
  readonly subflows: readonly SubflowSample[];
}

/** What an engine counts, under the names of socket diagnostics (platform/netlink/socket-diagnostics.ts). */
export interface SocketCounters {
  readonly connections: readonly {
    readonly token: number;
    readonly bytesSent: number;
    readonly bytesAcknowledged: number;
    readonly bytesReceived: number;
  }[];
  readonly subflows: readonly {
    readonly token: number;
    readonly local: Endpoint;
    readonly remote: Endpoint;
    readonly unacknowledged: number;
    readonly bytesAcknowledged: number;
    readonly rtoMs: number;
  }[];
}

export function pathSamples({ connections, subflows }: SocketCounters): PathSamples {
  return {
    connections: connections.map(({ token, bytesSent, bytesAcknowledged, bytesReceived }) => {
      return { token, sentBytes: bytesSent, acknowledgedBytes: bytesAcknowledged, receivedBytes: bytesReceived };
    }),
    subflows: subflows.map(({ token, local, remote, unacknowledged, bytesAcknowledged, rtoMs }) => {
      return { token, local, remote, inFlightSegments: unacknowledged, acknowledgedBytes: bytesAcknowledged, rtoMs };
    }),
  };
}
