/** Moves packets between a host's transport and its uplinks, and tells it the time. */

import { equalBytes, readUint16 } from "../../base/bytes.ts";
import { type Endpoint, type Family, familyOf, type IpAddress } from "../../base/ip-address.ts";
import type { TransportHost } from "../../stack/host/transport-host.ts";
import type { TunUplink } from "./tun-uplink.ts";

/** Packets of one uplink before others, and time, get their turn. */
const PACKETS_PER_TURN = 64;

export class PacketDriver {
  readonly host: TransportHost;
  readonly uplinks: readonly TunUplink[];

  readonly #randomBytes: (length: number) => Uint8Array;

  constructor(host: TransportHost, uplinks: readonly TunUplink[], randomBytes: (length: number) => Uint8Array) {
    this.host = host;
    this.#randomBytes = randomBytes;
    this.uplinks = uplinks;
  }

  /** Takes what has arrived at an uplink, up to a share. */
  receive(uplink: TunUplink, nowMs: number): void {
    for (let count = 0; count < PACKETS_PER_TURN; count++) {
      const packet = uplink.read();
      if (packet === undefined) return;
      this.host.onPacket(nowMs, packet);
      // Acknowledgements go out as their segments come in: peers count on it (RFC 5681 section 4.2).
      this.#transmit(nowMs);
    }
  }

  /** Does what time asks for, and sends what there is to send. */
  advance(nowMs: number): void {
    this.host.onTimeout(nowMs);
    this.#transmit(nowMs);
  }

  #transmit(nowMs: number): void {
    for (let packet = this.host.pollPacket(nowMs); packet !== undefined; packet = this.host.pollPacket(nowMs)) {
      this.uplinkOf(packet.ip.source)?.write(packet);
    }
  }

  /** How long nothing has to be done unless a packet comes; undefined for ever. */
  timeoutMs(nowMs: number): number | undefined {
    const next = this.host.pollTimeout();
    return next === undefined ? undefined : Math.max(0, next - nowMs);
  }

  /** The uplink that has this address of ours. */
  uplinkOf(address: IpAddress): TunUplink | undefined {
    return this.uplinks.find(({ addresses }) => addresses.some((own) => equalBytes(own, address)));
  }

  /** The first address that reaches this family. */
  sourceFor(family: Family): IpAddress | undefined {
    return this.uplinks.flatMap(({ addresses }) => addresses).find((address) => familyOf(address) === family);
  }

  /** A port from which nothing is connected to `remote` yet, chosen at random (RFC 6056 section 3.3.1); undefined when none is found. */
  freePort(address: IpAddress, remote: Endpoint): number | undefined {
    const ports = LAST_PORT - FIRST_PORT + 1;
    const start = readUint16(this.#randomBytes(2), 0) % ports;
    for (let step = 0; step < ports; step++) {
      const port = FIRST_PORT + ((start + step) % ports);
      if (this.host.isFree({ address, port }, remote)) return port;
    }
    return undefined;
  }
}

/** RFC 6335 section 6: the dynamic ports. */
const FIRST_PORT = 49_152;
const LAST_PORT = 65_535;
