/** A TCP segment in its IP packet: what a host sends and receives. */
import {
  emitIpHeader,
  IP_PROTOCOL,
  type IpHeader,
  type IpRefusal,
  ipHeaderBytes,
  parseIpPacket,
} from "../ip-packet.ts";
import {
  type ChecksumMode,
  emitTcpSegment,
  hasSoundChecksum,
  type OptionsWithoutRoom,
  parseTcpSegment,
  type SegmentRefusal,
  type TcpSegment,
  tcpSegmentByteLength,
} from "./segment.ts";

export interface TcpPacket {
  readonly ip: IpHeader;
  readonly segment: TcpSegment;
}

/** Why a packet was refused; each can be counted. "notTcp" is a sound packet of another protocol. */
export type PacketRefusal = IpRefusal | SegmentRefusal | "notTcp";

/**
 * Reads one packet. `verify` is false where someone else has looked at TCP's checksum, or has yet to complete it: a
 * kernel's offload.
 */
export function parseTcpPacket(bytes: Uint8Array, verify = true): TcpPacket | PacketRefusal {
  const packet = parseIpPacket(bytes);
  if (typeof packet === "string") return packet;
  const { payload, ...ip } = packet;
  if (ip.protocol !== IP_PROTOCOL.tcp) return "notTcp";
  const segment = parseTcpSegment(payload);
  if (typeof segment === "string") return segment;
  return verify && !hasSoundChecksum(payload, ip) ? "tcpChecksum" : { ip, segment };
}

/** The packet's length on the wire. */
export function tcpPacketByteLength({ ip, segment }: TcpPacket): number {
  return ipHeaderBytes(ip) + tcpSegmentByteLength(segment);
}

/** Writes the packet at `offset` and returns its end, or the options that have no room. */
export function emitTcpPacketInto(
  { ip, segment }: TcpPacket,
  into: Uint8Array,
  offset: number,
  checksum: ChecksumMode = "complete",
): number | OptionsWithoutRoom {
  const segmentAt = emitIpHeader(ip, tcpSegmentByteLength(segment), into, offset);
  return emitTcpSegment(segment, ip, into, segmentAt, checksum);
}

/** The packet in an array of its own. Throws a RangeError that names the options which have no room. */
export function emitTcpPacket(packet: TcpPacket): Uint8Array {
  const bytes = new Uint8Array(tcpPacketByteLength(packet));
  const result = emitTcpPacketInto(packet, bytes, 0);
  if (typeof result === "number") return bytes;
  throw new RangeError(`no room for the options ${result.withoutRoom.map(({ type }) => type).join(", ")}`);
}
