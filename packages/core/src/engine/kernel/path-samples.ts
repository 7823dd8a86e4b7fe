/** What socket diagnostics tell, in the terms of the path manager. */
import type {
  ConnectionDiagnostics,
  SocketSnapshot,
  SubflowDiagnostics,
} from "../../platform/netlink/socket-diagnostics.ts";
import type { ConnectionSample, PathSamples, SubflowSample } from "../../policy/path-manager/stall.ts";

export function pathSamples({ connections, subflows }: SocketSnapshot): PathSamples {
  return { connections: connections.map(connectionSample), subflows: subflows.map(subflowSample) };
}

function subflowSample(subflow: SubflowDiagnostics): SubflowSample {
  const { token, local, remote, unacknowledged, bytesAcknowledged, rtoMs } = subflow;
  return { token, local, remote, inFlightSegments: unacknowledged, acknowledgedBytes: bytesAcknowledged, rtoMs };
}

function connectionSample(connection: ConnectionDiagnostics): ConnectionSample {
  const { token, bytesSent, bytesAcknowledged, bytesReceived } = connection;
  return { token, sentBytes: bytesSent, acknowledgedBytes: bytesAcknowledged, receivedBytes: bytesReceived };
}
