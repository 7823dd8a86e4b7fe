/**
 * Packets as one line of text each, in the manner of tcpdump: for logs and failing tests. Lenient: shows what can be read
 * of a packet that would be refused, and why it would be.
 */
import { toHex } from "../../base/bytes.ts";
import { formatEndpoint, formatIpAddress } from "../../base/ip-address.ts";
import { findTransport, IP_PROTOCOL, type IpHeader, parseIpPacket } from "../ip-packet.ts";
import { describeMptcpOption } from "../mptcp/describe.ts";
import type { SegmentOption } from "./options.ts";
import { parseTcpPacket, type TcpPacket } from "./packet.ts";
import { hasSoundChecksum, TCP_FLAG, type TcpSegment } from "./segment.ts";

/** Letters of the flags, as tcpdump has them; "." is ACK. */
const FLAG_LETTERS: readonly (readonly [number, string])[] = [
  [TCP_FLAG.fin, "F"],
  [TCP_FLAG.syn, "S"],
  [TCP_FLAG.rst, "R"],
  [TCP_FLAG.psh, "P"],
  [TCP_FLAG.ack, "."],
  [TCP_FLAG.urg, "U"],
  [TCP_FLAG.ece, "E"],
  [TCP_FLAG.cwr, "W"],
];
const SHOWN_OF_BAD_PACKET_BYTES = 60;

/** One line for any bytes. Of a checksum that is wrong it says so, and shows the rest. */
export function describePacket(bytes: Uint8Array): string {
  const read = parseTcpPacket(bytes, false);
  if (typeof read !== "string") return `${describeTcpPacket(read)}${checksumRemark(bytes, read.ip)}`;
  const ip = parseIpPacket(bytes);
  const between = typeof ip === "string" ? "" : `${formatIpAddress(ip.source)} > ${formatIpAddress(ip.destination)} `;
  const protocol = typeof ip === "string" ? "" : `protocol ${ip.protocol} `;
  return `${between}${protocol}${read}, length ${bytes.length}: ${toHex(bytes.subarray(0, SHOWN_OF_BAD_PACKET_BYTES))}`;
}

function checksumRemark(bytes: Uint8Array, ip: IpHeader): string {
  const transport = findTransport(bytes);
  const isTcp = transport?.protocol === IP_PROTOCOL.tcp;
  return isTcp && !hasSoundChecksum(bytes.subarray(transport.offset), ip) ? ", bad checksum" : "";
}

/** "192.0.2.1:40000 > 198.51.100.2:443 [S], seq 1, win 64240, options [mss 1460], length 0". */
export function describeTcpPacket({ ip, segment }: TcpPacket): string {
  const source = formatEndpoint({ address: ip.source, port: segment.sourcePort });
  const destination = formatEndpoint({ address: ip.destination, port: segment.destinationPort });
  return `${source} > ${destination} ${describeSegment(segment)}`;
}

/** The same without addresses and ports. */
export function describeSegment(segment: TcpSegment): string {
  const { sequence, payload, flags, options } = segment;
  const range = payload.length > 0 ? `${sequence}:${(sequence + payload.length) >>> 0}` : `${sequence}`;
  return [
    `[${describeFlags(flags)}], seq ${range}`,
    ...((flags & TCP_FLAG.ack) === 0 ? [] : [`ack ${segment.acknowledgment}`]),
    `win ${segment.window}`,
    ...((flags & TCP_FLAG.urg) === 0 ? [] : [`urg ${segment.urgentPointer}`]),
    ...(options.length === 0 ? [] : [`options [${options.map(describeOption).join(", ")}]`]),
    `length ${payload.length}`,
  ].join(", ");
}

export function describeFlags(flags: number): string {
  const letters = FLAG_LETTERS.filter(([bit]) => (flags & bit) !== 0).map(([, letter]) => letter);
  return letters.length === 0 ? "none" : letters.join("");
}

export function describeOption(option: SegmentOption): string {
  switch (option.type) {
    case "maximumSegmentSize":
      return `mss ${option.bytes}`;
    case "windowScale":
      return `wscale ${option.shift}`;
    case "sackPermitted":
      return "sackOK";
    case "sack":
      return `sack ${option.blocks.map(({ left, right }) => `{${left}:${right}}`).join("")}`;
    case "timestamps":
      return `TS val ${option.value} ecr ${option.echoReply}`;
    case "fastOpen":
      return option.cookie.length === 0 ? "tfo cookiereq" : `tfo cookie ${toHex(option.cookie)}`;
    case "unknown":
      return `unknown-${option.kind} 0x${toHex(option.data)}`;
    default:
      return describeMptcpOption(option);
  }
}
