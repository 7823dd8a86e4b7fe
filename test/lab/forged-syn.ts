/** Forged SYNs: IPv4 packets made by hand, from addresses that nobody has. */

import { writeUint16 } from "@hybrid-access/core/base/bytes";
import { ipAddress, networkBytes } from "@hybrid-access/core/base/ip-address";
import { RawIpv4Socket } from "@hybrid-access/core/platform/raw-socket";
import { emitTcpOptions, TCP_OPTION, type TcpOption, tcpOptionsByteLength } from "@hybrid-access/core/wire/tcp-options";
import type { Lab } from "./lab.ts";

export interface ForgedSyn {
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  /** Initial sequence number. */
  readonly sequence: number;
  /** Options, or their bytes, well formed or not, at most 40. */
  readonly options: readonly TcpOption[] | Uint8Array;
  readonly payload: Uint8Array;
}

/** MP_CAPABLE of a SYN (RFC 8684 section 3.1): version 1, HMAC-SHA256. */
export const MP_CAPABLE: TcpOption = { kind: TCP_OPTION.multipathTcp, data: Uint8Array.of(0x01, 0x01) };

/** What an ordinary SYN has. */
export const PLAIN_OPTIONS: readonly TcpOption[] = [
  { kind: TCP_OPTION.maximumSegmentSize, data: Uint8Array.of(0x05, 0xb4) },
  { kind: TCP_OPTION.sackPermitted, data: new Uint8Array() },
  { kind: TCP_OPTION.windowScale, data: Uint8Array.of(7) },
];

const IP_BYTES = 20;
const TCP_BYTES = 20;
const SYN = 0x02;

/** The packet, both checksums right. */
export function forgeSyn({ from, fromPort, to, toPort, sequence, options, payload }: ForgedSyn): Uint8Array {
  const optionBytes = options instanceof Uint8Array ? padded(options.length) : tcpOptionsByteLength(options);
  const headerBytes = TCP_BYTES + optionBytes;
  const packet = new Uint8Array(IP_BYTES + headerBytes + payload.length);
  packet.set([0x45, 0, packet.length >> 8, packet.length & 0xff, 0, 0, 0, 0, 64, 6]);
  packet.set(networkBytes(ipAddress(from)), 12);
  packet.set(networkBytes(ipAddress(to)), 16);
  const tcp = packet.subarray(IP_BYTES);
  writeUint16(tcp, 0, fromPort);
  writeUint16(tcp, 2, toPort);
  new DataView(tcp.buffer, tcp.byteOffset).setUint32(4, sequence);
  tcp.set([(headerBytes / 4) << 4, SYN, 0xff, 0xff], 12);
  if (options instanceof Uint8Array) tcp.set(options, TCP_BYTES);
  else emitTcpOptions(options, tcp, TCP_BYTES);
  tcp.set(payload, headerBytes);
  writeUint16(tcp, 16, checksum(sum(packet.subarray(12, 20)) + 6 + tcp.length + sum(tcp)));
  writeUint16(packet, 10, checksum(sum(packet.subarray(0, IP_BYTES))));
  return packet;
}

/** To whole words of 32 bits. */
function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

/** Sums 16-bit words (RFC 1071); an odd last byte counts as a high one. */
function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) total += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  return total;
}

function checksum(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

/** Sends forged packets out of a node. */
export class Forger {
  readonly #socket: RawIpv4Socket;

  constructor(lab: Lab, node: string) {
    this.#socket = lab.inside(node, () => new RawIpv4Socket());
  }

  send(syn: ForgedSyn): void {
    this.#socket.send(ipAddress(syn.to), forgeSyn(syn));
  }

  close(): void {
    this.#socket.close();
  }
}
