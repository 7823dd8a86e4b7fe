/** What `hcpe connections` and `hcpe paths` show, as plain data: docs/cli.md names every field. Pure. */
import { formatEndpoint, formatIpAddress } from "@hybrid-access/core/base/ip-address";
import type {
  ConnectionDiagnostics,
  SubflowDiagnostics,
} from "@hybrid-access/core/platform/netlink/socket-diagnostics";
import type { DirectionSample } from "@hybrid-access/core/policy/uplink-quality";
import type { CarriedConnection } from "./connection-list.ts";
import { formatToken } from "./path-record.ts";
import type { QuotaStatus } from "./quota-keeper.ts";
import type { EndedSubflows } from "./traffic-meter.ts";
import type { UplinkReading } from "./uplink-monitor.ts";
import type { Uplink, UplinkState } from "./uplinks.ts";

/** What connections are joined from. */
export interface ConnectionSources {
  readonly carried: readonly CarriedConnection[];
  readonly connections: readonly ConnectionDiagnostics[];
  readonly subflows: readonly SubflowDiagnostics[];
  readonly policyOf: (token: number) => string | undefined;
  readonly uplinkOf: (subflow: SubflowDiagnostics) => string | undefined;
  readonly ended: (token: number) => Readonly<EndedSubflows>;
  readonly ageSeconds: (token: number) => number | undefined;
}

export interface ConnectionView {
  readonly token: string | null;
  readonly client: string;
  readonly destination: string;
  /** "multipath", "direct", or "opening". */
  readonly way: string;
  readonly gateway: string | null;
  readonly policy: string | null;
  readonly ageSeconds: number | null;
  readonly bytesUp: number | null;
  readonly bytesDown: number | null;
  /** Of what went up: bytes that were given to a second subflow, and how often a slow subflow was penalized. */
  readonly reinjectedBytes: number | null;
  readonly penalizations: number | null;
  readonly subflows: readonly SubflowView[];
  readonly endedSubflows: Readonly<EndedSubflows>;
}

export interface SubflowView {
  readonly uplink: string | null;
  readonly local: string;
  readonly remote: string;
  readonly state: string;
  readonly backup: boolean;
  readonly rttMs: number;
  readonly receiveRttMs: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly congestionWindow: number;
  readonly retransmittedSegments: number;
  readonly lostSegments: number;
  readonly outOfOrderSegments: number;
  readonly unacknowledgedSegments: number;
  readonly notSentBytes: number;
  readonly deliveryBitsPerSecond: number;
}

/**
 * Joins what the workers know (client and destination) with what the kernel knows (token, subflows): by our end toward
 * the outside, which a Multipath TCP connection keeps when its first subflow has gone.
 */
export function viewConnections(sources: ConnectionSources): ConnectionView[] {
  const byLocal = new Map(sources.connections.map((connection) => [formatEndpoint(connection.local), connection]));
  const byToken = new Map<number, SubflowDiagnostics[]>();
  for (const subflow of sources.subflows) {
    const others = byToken.get(subflow.token);
    if (others === undefined) byToken.set(subflow.token, [subflow]);
    else others.push(subflow);
  }
  return sources.carried.map(({ client, destination, outside }) => {
    const connection = outside && byLocal.get(formatEndpoint(outside));
    const ends = { client: formatEndpoint(client), destination: formatEndpoint(destination) };
    if (connection === undefined) return { ...NOT_MULTIPATH, ...ends, way: outside ? "direct" : "opening" };
    const { token, remote, bytesAcknowledged, bytesReceived } = connection;
    return {
      token: formatToken(token),
      ...ends,
      way: connection.fallback ? "fallback" : "multipath",
      gateway: formatEndpoint(remote),
      policy: sources.policyOf(token) ?? null,
      ageSeconds: sources.ageSeconds(token) ?? null,
      bytesUp: bytesAcknowledged,
      bytesDown: bytesReceived,
      reinjectedBytes: connection.bytesRetransmitted,
      penalizations: connection.penalizations ?? null,
      subflows: (byToken.get(token) ?? []).map((subflow) => viewSubflow(subflow, sources.uplinkOf)),
      endedSubflows: sources.ended(token),
    };
  });
}

const NOT_MULTIPATH = {
  token: null,
  gateway: null,
  policy: null,
  ageSeconds: null,
  bytesUp: null,
  bytesDown: null,
  reinjectedBytes: null,
  penalizations: null,
  subflows: [],
  endedSubflows: { count: 0, bytesUp: 0, bytesDown: 0 },
} as const;

function viewSubflow(subflow: SubflowDiagnostics, uplinkOf: ConnectionSources["uplinkOf"]): SubflowView {
  return {
    uplink: uplinkOf(subflow) ?? null,
    local: formatEndpoint(subflow.local),
    remote: formatEndpoint(subflow.remote),
    state: subflow.state,
    backup: subflow.backup,
    rttMs: subflow.rttMs,
    receiveRttMs: subflow.receiveRttMs,
    bytesUp: subflow.bytesAcknowledged,
    bytesDown: subflow.bytesReceived,
    congestionWindow: subflow.congestionWindow,
    retransmittedSegments: subflow.segmentsRetransmitted,
    lostSegments: subflow.lost,
    outOfOrderSegments: subflow.segmentsOutOfOrder,
    unacknowledgedSegments: subflow.unacknowledged,
    notSentBytes: subflow.notSentBytes,
    deliveryBitsPerSecond: subflow.deliveryBitsPerSecond,
  };
}

const NOTHING_PASSES = "other uplinks reach what it does not";
const STATE_REASONS: Readonly<Record<UplinkState, string | null>> = {
  absent: "there is no such interface",
  down: "the interface is switched off",
  "no carrier": "the cable or the radio link is gone",
  "no address": "the interface has no usable address",
  "no route": "no default route leaves over the interface",
  up: null,
};

/** What is shown of an uplink besides its state. */
export interface UplinkDetails extends UplinkReading {
  readonly quota: QuotaStatus | null;
  /** Families over which nothing comes back. */
  readonly silent: readonly string[];
}

export function viewUplink({ config, state, paths }: Uplink, reading: UplinkDetails): object {
  const { quota, silent } = reading;
  const degraded = state === "up" && reading.verdict.quality === "degraded";
  const sample = reading.traffic?.sample;
  return {
    name: config.name,
    interface: config.interface,
    cost: config.cost,
    state: degraded ? "degraded" : state,
    reason: degraded ? (reading.verdict.reason ?? null) : silent.length > 0 ? NOTHING_PASSES : STATE_REASONS[state],
    silent,
    addresses: paths.map(({ address }) => formatIpAddress(address)),
    rttMs: reading.rttMs === undefined ? null : Math.round(10 * reading.rttMs) / 10,
    lostPercent: percentOf(sample?.up),
    outOfOrderPercent: percentOf(sample?.down),
    downBitsPerSecond: reading.interface?.downBitsPerSecond ?? 0,
    upBitsPerSecond: reading.interface?.upBitsPerSecond ?? 0,
    receivedBytes: reading.interface?.receivedBytes ?? 0,
    sentBytes: reading.interface?.sentBytes ?? 0,
    subflows: reading.traffic?.subflows ?? 0,
    quota,
  };
}

/** Segments in trouble; null when none flowed. */
function percentOf(direction: DirectionSample | undefined): number | null {
  if (direction === undefined || direction.segments === 0) return null;
  return Math.round((1000 * direction.troubledSegments) / direction.segments) / 10;
}
