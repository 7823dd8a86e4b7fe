/** The IP packets around a host's segments. */
import { type Endpoint, familyOf } from "../../base/ip-address.ts";
import { IP_PROTOCOL, type IpHeader } from "../../wire/ip-packet.ts";
import type { SegmentOption } from "../../wire/tcp/options.ts";
import type { TcpPacket } from "../../wire/tcp/packet.ts";
import { resetFor } from "../tcp/reset.ts";

/** RFC 9293 section 3.9.2.1 leaves it open; the value that hosts use. */
const HOP_LIMIT = 64;

/** A packet to send, and how large the segments are that it is to be cut into where it is larger than the path. */
export interface OutgoingPacket extends TcpPacket {
  readonly segmentBytes: number;
}

/** TCP's packets are never fragmented on their way (RFC 1191): their identification has no meaning. */
export function headerBetween(local: Endpoint, remote: Endpoint): IpHeader {
  const ends = { source: local.address, destination: remote.address };
  const common = { ...ends, protocol: IP_PROTOCOL.tcp, trafficClass: 0, hopLimit: HOP_LIMIT };
  return familyOf(local.address) === "ipv4"
    ? { family: "ipv4", ...common, identification: 0, dontFragment: true }
    : { family: "ipv6", ...common, flowLabel: 0 };
}

/** The answer to a segment that is not wanted; undefined where it is a reset itself. */
export function refusalOf({ ip, segment }: TcpPacket, options: readonly SegmentOption[]): OutgoingPacket | undefined {
  const reset = resetFor(segment);
  if (reset === undefined) return undefined;
  const from = { address: ip.destination, port: segment.destinationPort };
  const to = { address: ip.source, port: segment.sourcePort };
  return { ip: headerBetween(from, to), segment: { ...reset, options }, segmentBytes: 0 };
}
