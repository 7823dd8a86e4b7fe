/** Moves packets between a host's transport and its uplinks, and tells it the time. */

import { equalBytes } from "../../base/bytes.ts";
import { type Family, familyOf, type IpAddress } from "../../base/ip-address.ts";
import type { StackHost } from "../../stack/host.ts";
import type { Uplink } from "./uplink.ts";
import type { EngineGround } from "./userspace-engine.ts";

/** Packets of one uplink before others, and time, get their turn. */
export const PACKETS_PER_TURN = 64;

export class PacketDriver implements EngineGround {
  readonly host: StackHost;
  readonly uplinks: readonly Uplink[];
  readonly #foreign: Uplink | undefined;

  /** What leaves from an address that is nobody's takes the uplink `foreign`, or is not sent. */
  constructor(host: StackHost, uplinks: readonly Uplink[], foreign?: Uplink) {
    this.host = host;
    this.uplinks = uplinks;
    this.#foreign = foreign;
  }

  get takesForeign(): boolean {
    return this.#foreign !== undefined;
  }

  /** Takes what has arrived at an uplink, up to a share. */
  receive(uplink: Uplink, nowMs: number): void {
    for (let count = 0; count < PACKETS_PER_TURN; count++) {
      const packet = uplink.read();
      if (packet === undefined) return;
      this.host.onPacket(nowMs, packet.bytes, !packet.isVerified);
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
      (this.uplinkOf(packet.ip.source) ?? this.#foreign)?.write(packet);
    }
  }

  /** How long nothing has to be done unless a packet comes; undefined for ever. */
  timeoutMs(nowMs: number): number | undefined {
    const next = this.host.pollTimeout();
    return next === undefined ? undefined : Math.max(0, next - nowMs);
  }

  /** The uplink that has this address of ours. */
  uplinkOf(address: IpAddress): Uplink | undefined {
    return this.uplinks.find(({ addresses }) => addresses.some((own) => equalBytes(own, address)));
  }

  isOwn(address: IpAddress): boolean {
    return this.uplinkOf(address) !== undefined;
  }

  /** The first address of this family. */
  sourceFor(family: Family): IpAddress | undefined {
    return this.uplinks.flatMap(({ addresses }) => addresses).find((address) => familyOf(address) === family);
  }

  nowMs(): number {
    return performance.now();
  }
}
