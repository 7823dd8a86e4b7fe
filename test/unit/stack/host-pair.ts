/** Two hosts, a wire between them, and virtual time. */
import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { MinHeap } from "@hybrid-access/core/base/min-heap";
import { SeededRandom } from "@hybrid-access/core/base/random";
import { PLATFORM_HASHES } from "@hybrid-access/core/platform/hashes";
import { StackHost } from "@hybrid-access/core/stack/host";
import type { MptcpConnection } from "@hybrid-access/core/stack/mptcp/connection";
import { DEFAULT_MPTCP_SETTINGS, type MptcpSettings } from "@hybrid-access/core/stack/mptcp/settings";
import type { StackPorts } from "@hybrid-access/core/stack/ports";

export function seededPorts(seed: number): StackPorts {
  const random = new SeededRandom(seed);
  const randomBytes = (length: number) => Uint8Array.from({ length }, () => Math.floor(random.next() * 256));
  return { hashes: PLATFORM_HASHES, randomBytes };
}

export class HostPair {
  nowMs = 1000;
  readonly client: StackHost;
  server: StackHost;
  readonly clientAddress: IpAddress;
  readonly serverAddress: IpAddress;
  /** Whether a packet passes; `up` goes to the server. */
  passes: (packet: Uint8Array, up: boolean) => boolean = () => true;
  readonly #wire = new MinHeap<{ readonly packet: Uint8Array; readonly up: boolean }>();

  constructor(family: "ipv4" | "ipv6" = "ipv4", settings: Partial<MptcpSettings> = {}, mostConnections = 10_000) {
    const [client, server] = family === "ipv4" ? ["192.0.2.1", "198.51.100.1"] : ["2001:db8::1", "2001:db8::2"];
    this.clientAddress = ipAddress(client ?? "");
    this.serverAddress = ipAddress(server ?? "");
    const options = { settings: { ...DEFAULT_MPTCP_SETTINGS, ...settings }, mtuBytes: 1500, mostConnections };
    this.client = new StackHost({ ...options, ports: seededPorts(1) });
    this.server = new StackHost({ ...options, ports: seededPorts(2) });
  }

  /** Hands the server a packet that somebody else has sent. */
  inject(packet: Uint8Array): void {
    this.#wire.push(this.nowMs, { packet, up: true });
  }

  /** Goes on until `done`, or until nothing is left to happen, or for `limitMs`. Returns whether it is done. */
  run(done: () => boolean, limitMs = 600_000): boolean {
    const endMs = this.nowMs + limitMs;
    for (;;) {
      this.#transmit();
      if (done()) return true;
      const times = [this.#wire.nextKey, this.client.pollTimeout(), this.server.pollTimeout()];
      const next = Math.min(...times.map((at) => at ?? Number.POSITIVE_INFINITY));
      if (next > endMs) return done();
      this.nowMs = Math.max(this.nowMs, next);
      this.client.onTimeout(this.nowMs);
      this.server.onTimeout(this.nowMs);
      while ((this.#wire.nextKey ?? Number.POSITIVE_INFINITY) <= this.nowMs) {
        const arrived = this.#wire.pop();
        if (arrived !== undefined) (arrived.up ? this.server : this.client).onPacket(this.nowMs, arrived.packet);
      }
    }
  }

  #transmit(): void {
    for (const up of [true, false]) {
      const host = up ? this.client : this.server;
      for (let packet = host.pollTransmit(this.nowMs); packet !== undefined; packet = host.pollTransmit(this.nowMs)) {
        if (this.passes(packet, up)) this.#wire.push(this.nowMs + 10, { packet, up });
      }
    }
  }
}

/** Everything that can be read of a connection now. */
export function readAll(connection: MptcpConnection): number {
  const into = new Uint8Array(65_536);
  let bytes = 0;
  for (let length = connection.read(into); length > 0; length = connection.read(into)) bytes += length;
  return bytes;
}
