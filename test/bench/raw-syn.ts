/** SYNs made by hand, sent from one node of the lab and caught at others: what steering does, without any TCP. */
import { writeUint16, writeUint32 } from "@hybrid-access/core/base/bytes";
import { ipAddress, networkBytes } from "@hybrid-access/core/base/ip-address";
import { check, resultOf } from "@hybrid-access/core/platform/errno";
import { libc } from "@hybrid-access/core/platform/libc";
import { AF_INET, encodeSocketAddress } from "@hybrid-access/core/platform/socket-address";
import type { Lab } from "../lab/lab.ts";

const SOCK_RAW = 3;
const IPPROTO_TCP = 6;
const IPPROTO_RAW = 255;
const MSG_DONTWAIT = 0x40;
const IP_BYTES = 20;
const SYN = 2;
const SYN_WITHOUT_OPTIONS_BYTES = 40;
/** RFC 8684 section 3.2: kind 30, length 12, subtype 1, address identifier 2. */
const JOIN_OPTION = Uint8Array.of(30, 12, 0x10, 2, 0, 0, 0, 0, 1, 2, 3, 4);

/** An address no node has: nothing comes back. */
const SOURCE = "10.77.0.1";

/**
 * IPv4 and TCP headers of a SYN. Its checksum is zero and so wrong: a raw socket sees the packet, the host's TCP drops it.
 */
function synPacket(to: string, port: number, sourcePort: number, token: number | undefined): Uint8Array {
  const options = token === undefined ? 0 : JOIN_OPTION.length;
  const packet = new Uint8Array(SYN_WITHOUT_OPTIONS_BYTES + options);
  packet[0] = 0x45;
  writeUint16(packet, 2, packet.length);
  packet[8] = 64;
  packet[9] = IPPROTO_TCP;
  packet.set(networkBytes(ipAddress(SOURCE)), 12);
  packet.set(networkBytes(ipAddress(to)), 16);
  writeUint16(packet, IP_BYTES, sourcePort);
  writeUint16(packet, IP_BYTES + 2, port);
  packet[IP_BYTES + 12] = ((20 + options) / 4) << 4;
  packet[IP_BYTES + 13] = SYN;
  if (token !== undefined) {
    packet.set(JOIN_OPTION, SYN_WITHOUT_OPTIONS_BYTES);
    writeUint32(packet, SYN_WITHOUT_OPTIONS_BYTES + 4, token);
  }
  return packet;
}

export class RawSyns {
  readonly #sender: number;
  readonly #catchers: readonly number[];
  readonly #to: string;
  readonly #port: number;
  readonly #address: Uint8Array;
  readonly #buffer = new Uint8Array(2048);

  /** Sends from node `from` to an address and port, and catches what arrives at the nodes `at`. */
  constructor(lab: Lab, from: string, at: readonly string[], to: string, port: number) {
    const raw = (protocol: number) => check(resultOf(libc.socket(AF_INET, SOCK_RAW, protocol)), "raw socket");
    this.#sender = lab.inside(from, () => raw(IPPROTO_RAW));
    this.#catchers = at.map((node) => lab.inside(node, () => raw(IPPROTO_TCP)));
    this.#to = to;
    this.#port = port;
    this.#address = encodeSocketAddress({ address: ipAddress(to), port: 0 });
  }

  /** Sends a SYN; with a token it is a join. */
  send(sourcePort: number, token?: number): void {
    const packet = synPacket(this.#to, this.#port, sourcePort, token);
    const sent = libc.sendto(this.#sender, packet, packet.length, 0, this.#address, this.#address.length);
    check(resultOf(sent), "send a SYN");
  }

  /** Sends a SYN and waits, without sleeping, until it arrives. Gives milliseconds, or undefined for one that is lost. */
  time(sourcePort: number, token: number | undefined, patienceMs: number): number | undefined {
    const startMs = performance.now();
    this.send(sourcePort, token);
    for (;;) {
      const nowMs = performance.now();
      if (this.#catch(sourcePort)) return nowMs - startMs;
      if (nowMs - startMs > patienceMs) return undefined;
    }
  }

  #catch(sourcePort: number): boolean {
    for (const fd of this.#catchers) {
      const length = libc.recv(fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT);
      const port = ((this.#buffer[IP_BYTES] ?? 0) << 8) | (this.#buffer[IP_BYTES + 1] ?? 0);
      if (length >= SYN_WITHOUT_OPTIONS_BYTES && port === sourcePort) return true;
    }
    return false;
  }

  close(): void {
    for (const fd of [this.#sender, ...this.#catchers]) libc.close(fd);
  }
}
