/** Raw IPv4 sockets (raw(7)): whole packets, header included. Needs CAP_NET_RAW. */
import type { IpAddress } from "../base/ip-address.ts";
import { check, resultOf } from "./errno.ts";
import { libc } from "./libc.ts";
import { AF_INET, encodeSocketAddress } from "./socket-address.ts";

const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const IPPROTO_RAW = 255;

export class RawIpv4Socket {
  readonly #fd = check(resultOf(libc.socket(AF_INET, SOCK_RAW_CLOEXEC, IPPROTO_RAW)), "raw socket");

  /** Sends a packet that begins with its IPv4 header. Throws a SystemError. */
  send(to: IpAddress, packet: Uint8Array): void {
    const address = encodeSocketAddress({ address: to, port: 0 });
    check(resultOf(libc.sendto(this.#fd, packet, packet.length, 0, address, address.length)), "send a packet");
  }

  close(): void {
    libc.close(this.#fd);
  }
}
