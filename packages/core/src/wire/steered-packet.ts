/**
 * What a director must know of a packet to the farm's address: who sent it, and whether it begins a connection, joins
 * one (RFC 8684 section 3.2), or belongs to one that exists.
 *
 * Options are read as Linux reads them: reading ends where a length does not fit, and what came before counts. So no SYN
 * is taken for malformed that the gateway's kernel would have accepted.
 */
import { readUint16, readUint32, toHex } from "../base/bytes.ts";
import { type Endpoint, ipAddressFromBytes, networkBytes } from "../base/ip-address.ts";
import { findTransport, IP_PROTOCOL } from "./ip-packet.ts";
import { CAPABLE_FLAG, MPTCP_SUBTYPE } from "./mptcp/options.ts";
import { TCP_FLAG, TCP_HEADER_BYTES } from "./tcp/segment.ts";
import { TCP_OPTION } from "./tcp-options.ts";

/** A TCP packet of a client, as far as directors look at it. */
export interface SteeredPacket {
  readonly client: Endpoint;
  /** The destination port. */
  readonly port: number;
  readonly kind: PacketKind;
}

export type PacketKind =
  /** The SYN of a new connection, over Multipath TCP or not. */
  | { readonly type: "connect" }
  /** The SYN of a further subflow; `token` is the gateway's, 32 bits. */
  | { readonly type: "join"; readonly token: number }
  /**
   * Not a SYN. A Multipath TCP option says that the flow is a subflow; plain TCP has none. With the handshake's third
   * ACK (MP_CAPABLE of version 1, HMAC-SHA256) comes the gateway's key, 8 bytes, of which the token is a hash.
   */
  | { readonly type: "data"; readonly multipath: boolean; readonly gatewayKey?: Uint8Array };

const FLAGS_FIN_RST_ACK = TCP_FLAG.fin | TCP_FLAG.rst | TCP_FLAG.ack;
/**
 * RFC 8684 section 3.1, figure 4: kind, length, subtype and version, flags, the sender's key, the receiver's key; then,
 * with data, its length, and with checksums theirs.
 */
const CAPABLE_ACK_BYTES = [20, 22, 24];
const VERSION_1 = 1;
const RECEIVER_KEY = 12;
const KEY_BYTES = 8;
/** Kind, length, subtype and flags, address identifier, token, nonce: the same in versions 0 and 1. */
const JOIN_SYN_BYTES = 12;

/** Reads a packet from its IP header on; the end may be missing. Undefined when it is no TCP of either family. */
export function parseSteeredPacket(packet: Uint8Array): SteeredPacket | undefined {
  const located = locateTcp(packet);
  if (located === undefined || located.tcp + TCP_HEADER_BYTES > packet.length) return undefined;
  const address = ipAddressFromBytes(located.source);
  if (address === undefined) return undefined;
  const { tcp } = located;
  const client = { address, port: readUint16(packet, tcp) };
  const flags = packet[tcp + 13] ?? 0;
  const optionsEnd = tcp + 4 * ((packet[tcp + 12] ?? 0) >> 4);
  const found = readOptions(packet, tcp + TCP_HEADER_BYTES, Math.min(optionsEnd, packet.length));
  return { client, port: readUint16(packet, tcp + 2), kind: kindOf(flags, found) };
}

/** The sender's address, and where the TCP header begins; undefined for another protocol. */
function locateTcp(packet: Uint8Array): { source: Uint8Array; tcp: number } | undefined {
  const transport = findTransport(packet);
  if (transport?.protocol !== IP_PROTOCOL.tcp) return undefined;
  const isIpv4 = (packet[0] ?? 0) >> 4 === 4;
  return { source: isIpv4 ? packet.subarray(12, 16) : packet.subarray(8, 24), tcp: transport.offset };
}

interface FoundOptions {
  multipath: boolean;
  capable: boolean;
  token: number | undefined;
  gatewayKey: Uint8Array | undefined;
}

function readOptions(packet: Uint8Array, start: number, end: number): FoundOptions {
  const found: FoundOptions = { multipath: false, capable: false, token: undefined, gatewayKey: undefined };
  for (let offset = start; offset < end; ) {
    const kind = packet[offset];
    if (kind === TCP_OPTION.endOfList) break;
    if (kind === TCP_OPTION.noOperation) {
      offset += 1;
      continue;
    }
    const length = packet[offset + 1] ?? 0;
    if (length < 2 || offset + length > end) break;
    if (kind === TCP_OPTION.multipathTcp && length > 2) noteMultipath(found, packet, offset, length);
    offset += length;
  }
  return found;
}

function noteMultipath(found: FoundOptions, packet: Uint8Array, offset: number, length: number): void {
  const subtype = (packet[offset + 2] ?? 0) >> 4;
  found.multipath = true;
  if (subtype === MPTCP_SUBTYPE.capable) {
    found.capable = true;
    const version = (packet[offset + 2] ?? 0) & 15;
    const hmac = ((packet[offset + 3] ?? 0) & CAPABLE_FLAG.hmac) !== 0;
    const at = offset + RECEIVER_KEY;
    if (version === VERSION_1 && hmac && CAPABLE_ACK_BYTES.includes(length)) {
      found.gatewayKey = packet.slice(at, at + KEY_BYTES);
    }
  }
  if (subtype === MPTCP_SUBTYPE.join && length === JOIN_SYN_BYTES) found.token = readUint32(packet, offset + 4);
}

/** A SYN that says both, or a join of another length, is plain TCP for Linux. */
function kindOf(flags: number, { multipath, capable, token, gatewayKey }: FoundOptions): PacketKind {
  const syn = (flags & TCP_FLAG.syn) !== 0 && (flags & FLAGS_FIN_RST_ACK) === 0;
  if (!syn) return { type: "data", multipath, ...(gatewayKey && { gatewayKey }) };
  return token === undefined || capable ? { type: "connect" } : { type: "join", token };
}

/** What names a flow among all that reach the farm: client address, client port, service port, in hexadecimal. */
export function flowId({ address, port }: Endpoint, servicePort: number): string {
  const ports = (port * 0x10000 + servicePort).toString(16).padStart(8, "0");
  return `${toHex(networkBytes(address))}${ports}`;
}
