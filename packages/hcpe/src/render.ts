/** The answers of `hcpe connections`, `hcpe paths` and `hcpe events` as text for people. */
import { renderTable } from "@hybrid-access/core/cli/status";
import type { LoggedEvent } from "./event-log.ts";
import type { ConnectionView } from "./views.ts";

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** "1.2 MB"; "-" for what is not known. */
export function formatBytes(bytes: number | null): string {
  if (bytes === null) return "-";
  const power = bytes < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toFixed(1)} ${UNITS[power]}`;
}

function formatRate(bitsPerSecond: number): string {
  return `${(bitsPerSecond / 1_000_000).toFixed(1)} Mbit/s`;
}

function formatPercent(percent: number | null): string {
  return percent === null ? "-" : `${percent} %`;
}

export function renderConnections(answer: object): string {
  const { total, connections } = answer as { total: number; connections: readonly ConnectionView[] };
  const lines = connections.flatMap((connection) => [renderConnection(connection), ...renderSubflows(connection)]);
  const cut = connections.length < total ? `, ${connections.length} shown` : "";
  return `${[`${total} connections${cut}`, ...lines].join("\n")}\n`;
}

function renderConnection(connection: ConnectionView): string {
  const { client, destination, way, token, policy, ageSeconds, bytesUp, bytesDown, endedSubflows } = connection;
  const ended = endedSubflows.count === 0 ? [] : [`${endedSubflows.count} subflows ended`];
  const details = [
    way,
    ...(token === null ? [] : [token]),
    ...(policy === null ? [] : [policy]),
    ...(ageSeconds === null ? [] : [`${ageSeconds} s`]),
    `up ${formatBytes(bytesUp)}`,
    `down ${formatBytes(bytesDown)}`,
    ...ended,
  ];
  return `${client} -> ${destination}  ${details.join(", ")}`;
}

function renderSubflows({ subflows }: ConnectionView): string[] {
  const rows = subflows.map(({ uplink, local, state, backup, rttMs, bytesUp, bytesDown, retransmittedSegments }) => ({
    uplink: uplink ?? "-",
    local,
    state: backup ? `${state} backup` : state,
    rtt: `${rttMs.toFixed(1)} ms`,
    up: formatBytes(bytesUp),
    down: formatBytes(bytesDown),
    retransmitted: retransmittedSegments,
  }));
  return rows.length === 0 ? [] : renderTable(rows, "  ");
}

interface UplinkLine {
  readonly name: string;
  readonly state: string;
  readonly reason: string | null;
  readonly addresses: readonly string[];
  readonly rttMs: number | null;
  readonly lostPercent: number | null;
  readonly outOfOrderPercent: number | null;
  readonly downBitsPerSecond: number;
  readonly upBitsPerSecond: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly subflows: number;
  readonly quota: { readonly usedBytes: number; readonly bytes: number } | null;
}

export function renderPaths(answer: object): string {
  const { uplinks } = answer as { uplinks: readonly UplinkLine[] };
  const rows = uplinks.map((uplink) => ({
    uplink: uplink.name,
    state: uplink.state,
    rtt: uplink.rttMs === null ? "-" : `${uplink.rttMs} ms`,
    lost: formatPercent(uplink.lostPercent),
    "out of order": formatPercent(uplink.outOfOrderPercent),
    down: formatRate(uplink.downBitsPerSecond),
    up: formatRate(uplink.upBitsPerSecond),
    received: formatBytes(uplink.receivedBytes),
    sent: formatBytes(uplink.sentBytes),
    subflows: uplink.subflows,
    quota: uplink.quota === null ? "-" : `${formatBytes(uplink.quota.usedBytes)} of ${formatBytes(uplink.quota.bytes)}`,
    addresses: uplink.addresses.join(" "),
    reason: uplink.reason ?? "",
  }));
  return `${renderTable(rows, "").join("\n")}\n`;
}

export function renderEvents(answer: object): string {
  return (answer as { events: readonly LoggedEvent[] }).events.map(renderEvent).join("");
}

export function renderEvent(item: object): string {
  const { sequence, time, event, ...detail } = item as LoggedEvent;
  const details = Object.entries(detail).map(
    ([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`,
  );
  return `${sequence}  ${time}  ${event}  ${details.join(" ")}`.trimEnd().concat("\n");
}
