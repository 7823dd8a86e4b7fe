/** TCP packets made by hand, sent from one node of the lab and caught at others: what steering does, without any TCP. */
import { concatBytes, readUint16, writeUint16, writeUint32 } from "@hybrid-access/core/base/bytes";
import { ipAddress, networkBytes } from "@hybrid-access/core/base/ip-address";
import { check, resultOf } from "@hybrid-access/core/platform/errno";
import { libc } from "@hybrid-access/core/platform/libc";
import { AF_INET, encodeSocketAddress } from "@hybrid-access/core/platform/socket-address";
import type { Lab } from "./lab.ts";

const SOCK_RAW = 3;
const IPPROTO_TCP = 6;
const IPPROTO_RAW = 255;
const MSG_DONTWAIT = 0x40;
const IP_BYTES = 20;
const TCP_BYTES = 20;

/** An address no node has: nothing comes back. */
const SOURCE = "10.77.0.1";

export const TCP_FLAG = { syn: 0x02, ack: 0x10 } as const;

export interface RawPacket {
  readonly sourcePort: number;
  readonly flags: number;
  /** Bytes of TCP options, well formed or not; padded with zeros. */
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
}

/** RFC 8684 section 3.2: kind 30, length 12, subtype 1, address identifier 2, the token, a nonce. */
export function joinOption(token: number): Uint8Array {
  const option = Uint8Array.of(30, 12, 0x10, 2, 0, 0, 0, 0, 1, 2, 3, 4);
  writeUint32(option, 4, token);
  return option;
}

/** RFC 8684 section 3.1, third ACK: version 1, HMAC-SHA256, the client's key, the gateway's. */
export function keysOption(gatewayKey: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(30, 20, 0x01, 0x01), Uint8Array.of(1, 1, 1, 1, 1, 1, 1, 1), gatewayKey]);
}

/**
 * IPv4 and TCP headers. The checksum of TCP is zero and so wrong: a raw socket sees the packet, the host's TCP drops it.
 */
function emit(to: string, port: number, { sourcePort, flags, options, payload }: RawPacket): Uint8Array {
  const optionBytes = Math.ceil((options?.length ?? 0) / 4) * 4;
  const headerBytes = IP_BYTES + TCP_BYTES + optionBytes;
  const packet = new Uint8Array(headerBytes + (payload?.length ?? 0));
  packet[0] = 0x45;
  writeUint16(packet, 2, packet.length);
  packet[8] = 64;
  packet[9] = IPPROTO_TCP;
  packet.set(networkBytes(ipAddress(SOURCE)), 12);
  packet.set(networkBytes(ipAddress(to)), 16);
  writeUint16(packet, IP_BYTES, sourcePort);
  writeUint16(packet, IP_BYTES + 2, port);
  packet[IP_BYTES + 12] = ((TCP_BYTES + optionBytes) / 4) << 4;
  packet[IP_BYTES + 13] = flags;
  packet.set(options ?? [], IP_BYTES + TCP_BYTES);
  packet.set(payload ?? [], headerBytes);
  return packet;
}

/** A packet that came to a node. */
export interface CaughtPacket {
  readonly node: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly flags: number;
  readonly payloadBytes: number;
}

export class RawPackets {
  readonly #sender: number;
  readonly #catchers: readonly { readonly node: string; readonly fd: number }[];
  readonly #to: string;
  readonly #port: number;
  readonly #address: Uint8Array;
  readonly #caughtFrom: string;
  readonly #buffer = new Uint8Array(2048);

  /** Sends from node `from` to an address and port, and catches what arrives at the nodes `at` from `caughtFrom`. */
  constructor(lab: Lab, from: string, at: readonly string[], to: string, port: number, caughtFrom = SOURCE) {
    const raw = (protocol: number) => check(resultOf(libc.socket(AF_INET, SOCK_RAW, protocol)), "raw socket");
    this.#sender = lab.inside(from, () => raw(IPPROTO_RAW));
    this.#catchers = at.map((node) => ({ node, fd: lab.inside(node, () => raw(IPPROTO_TCP)) }));
    this.#to = to;
    this.#caughtFrom = String(networkBytes(ipAddress(caughtFrom)));
    this.#port = port;
    this.#address = encodeSocketAddress({ address: ipAddress(to), port: 0 });
  }

  send(packet: RawPacket): void {
    const bytes = emit(this.#to, this.#port, packet);
    const sent = libc.sendto(this.#sender, bytes, bytes.length, 0, this.#address, this.#address.length);
    check(resultOf(sent), "send a packet");
  }

  /** What has arrived since the last time, at each node in its order. */
  caught(): CaughtPacket[] {
    const packets: CaughtPacket[] = [];
    for (const { node, fd } of this.#catchers) {
      for (;;) {
        const length = libc.recv(fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT);
        if (length < IP_BYTES + TCP_BYTES) break;
        if (String(this.#buffer.subarray(12, 16)) !== this.#caughtFrom) continue;
        const headerBytes = IP_BYTES + 4 * ((this.#buffer[IP_BYTES + 12] ?? 0) >> 4);
        packets.push({
          node,
          sourcePort: readUint16(this.#buffer, IP_BYTES),
          destinationPort: readUint16(this.#buffer, IP_BYTES + 2),
          flags: this.#buffer[IP_BYTES + 13] ?? 0,
          payloadBytes: length - headerBytes,
        });
      }
    }
    return packets;
  }

  close(): void {
    for (const fd of [this.#sender, ...this.#catchers.map((catcher) => catcher.fd)]) libc.close(fd);
  }
}
