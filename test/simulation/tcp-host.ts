/** A host whose stack is TCP alone: packets of many connections in and out. It listens on every port. */
import { type Endpoint, endpointKey, familyOf } from "@hybrid-access/core/base/ip-address";
import type { PacketEndpoint } from "@hybrid-access/core/stack/endpoint";
import { TcpConnection } from "@hybrid-access/core/stack/tcp/connection";
import { resetFor } from "@hybrid-access/core/stack/tcp/reset";
import type { TcpSettings } from "@hybrid-access/core/stack/tcp/settings";
import { parseIcmpError, parseQuotedSegment } from "@hybrid-access/core/wire/icmp";
import { IP_PROTOCOL, type IpHeader, ipHeaderBytes, parseIpPacket } from "@hybrid-access/core/wire/ip-packet";
import { emitTcpPacket, parseTcpPacket, type TcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_FLAG, TCP_HEADER_BYTES, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";

export interface TcpHostOptions {
  readonly settings: TcpSettings;
  /** Both ends of a connection begin with numbers of their own; those near the end of the range show who counts wrongly. */
  readonly nextInitialSequence: () => number;
  /** A connection that a peer has opened. */
  readonly onAccepted?: (connection: TcpConnection) => void;
}

export class TcpHost implements PacketEndpoint {
  /** Why packets were refused, and how often. */
  readonly refused = new Map<string, number>();
  readonly #options: TcpHostOptions;
  readonly #connections = new Map<string, TcpConnection>();
  readonly #resets: TcpPacket[] = [];

  constructor(options: TcpHostOptions) {
    this.#options = options;
  }

  /** Connections that are not forgotten yet. */
  get connections(): ReadonlyMap<string, TcpConnection> {
    return this.#connections;
  }

  connect(nowMs: number, local: Endpoint, remote: Endpoint): TcpConnection {
    const connection = this.#make(local, remote);
    connection.open(nowMs);
    return connection;
  }

  #make(local: Endpoint, remote: Endpoint): TcpConnection {
    const { settings, nextInitialSequence } = this.#options;
    const connection = new TcpConnection({
      local,
      remote,
      settings,
      initialSequence: nextInitialSequence(),
      timestampOffset: nextInitialSequence(),
    });
    this.#connections.set(keyOf(local, remote), connection);
    return connection;
  }

  onPacket(nowMs: number, bytes: Uint8Array): void {
    const packet = parseTcpPacket(bytes);
    if (typeof packet !== "string") this.#onSegment(nowMs, packet);
    else if (packet !== "notTcp" || !this.#onIcmp(nowMs, bytes)) {
      this.refused.set(packet, (this.refused.get(packet) ?? 0) + 1);
    }
  }

  #onSegment(nowMs: number, packet: TcpPacket): void {
    const { ip, segment } = packet;
    const local = { address: ip.destination, port: segment.destinationPort };
    const remote = { address: ip.source, port: segment.sourcePort };
    const known = this.#connections.get(keyOf(local, remote));
    if (known !== undefined) return known.receive(segment, nowMs);
    const opens = (segment.flags & (TCP_FLAG.syn | TCP_FLAG.ack | TCP_FLAG.rst)) === TCP_FLAG.syn;
    if (opens && this.#options.onAccepted !== undefined) return this.#accept(nowMs, local, remote, segment);
    const reset = resetFor(segment);
    if (reset !== undefined) this.#resets.push({ ip: headerBetween(local, remote), segment: reset });
  }

  #accept(nowMs: number, local: Endpoint, remote: Endpoint, syn: TcpSegment): void {
    const connection = this.#make(local, remote);
    connection.accept(syn, nowMs);
    this.#options.onAccepted?.(connection);
  }

  /** Whether it was an error about a TCP segment. */
  #onIcmp(nowMs: number, bytes: Uint8Array): boolean {
    const ip = parseIpPacket(bytes);
    const error = typeof ip === "string" ? undefined : parseIcmpError(ip);
    const about = error && parseQuotedSegment(error.quoted);
    if (typeof ip === "string" || error === undefined || about === undefined) return false;
    if (error.reason.type !== "packetTooBig") return true;
    const segmentBytes = error.reason.mtuBytes - ipHeaderBytes(ip) - TCP_HEADER_BYTES;
    const connection = this.#connections.get(keyOf(about.source, about.destination));
    connection?.onPacketTooBig(segmentBytes, about.sequence, nowMs);
    return true;
  }

  onTimeout(nowMs: number): void {
    for (const connection of this.#connections.values()) connection.onTimeout(nowMs);
  }

  pollTimeout(): number | undefined {
    const times = Array.from(this.#connections.values(), (connection) => connection.pollTimeout() ?? Infinity);
    const first = Math.min(...times);
    return first === Infinity ? undefined : first;
  }

  /** Connections that are over are forgotten here, when nothing is left to send. */
  pollTransmit(nowMs: number): Uint8Array | undefined {
    const reset = this.#resets.shift();
    if (reset !== undefined) return emitTcpPacket(reset);
    for (const [key, connection] of this.#connections) {
      const segment = connection.pollTransmit(nowMs);
      if (segment !== undefined)
        return emitTcpPacket({ ip: headerBetween(connection.local, connection.remote), segment });
      if (connection.isDone) this.#connections.delete(key);
    }
    return undefined;
  }
}

function keyOf(local: Endpoint, remote: Endpoint): string {
  return endpointKey(local) + endpointKey(remote);
}

function headerBetween(local: Endpoint, remote: Endpoint): IpHeader {
  const ends = { source: local.address, destination: remote.address };
  const common = { ...ends, protocol: IP_PROTOCOL.tcp, trafficClass: 0, hopLimit: 64 };
  return familyOf(local.address) === "ipv4"
    ? { family: "ipv4", ...common, identification: 0, dontFragment: true }
    : { family: "ipv6", ...common, flowLabel: 0 };
}
