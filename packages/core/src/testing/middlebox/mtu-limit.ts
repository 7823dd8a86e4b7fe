/** A hop with a smaller MTU: what is larger is dropped, with an ICMP error that says so, or without (a black hole). */

import type { IpAddress } from "../../base/ip-address.ts";
import { emitIcmpError } from "../../wire/icmp.ts";
import { type IpHeader, parseIpPacket } from "../../wire/ip-packet.ts";
import { type Direction, type Middlebox, opposite, type Passed } from "./middlebox.ts";

export interface MtuLimitOptions {
  /** The largest IP packet that passes. */
  readonly mtuBytes: number;
  /** The addresses it sends errors from, by family; without one of the packet's family it is a black hole. */
  readonly routers?: { readonly ipv4?: IpAddress; readonly ipv6?: IpAddress };
}

const HOP_LIMIT = 64;

/** Fragments nothing: an IPv4 packet that may be fragmented is dropped like one that may not. */
export class MtuLimit implements Middlebox {
  readonly #settings: MtuLimitOptions;

  constructor(settings: MtuLimitOptions) {
    this.#settings = settings;
  }

  onPacket(_nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    const { mtuBytes, routers } = this.#settings;
    if (packet.length <= mtuBytes) return [{ direction, packet }];
    const ip = parseIpPacket(packet);
    const router = typeof ip === "string" ? undefined : routers?.[ip.family];
    if (typeof ip === "string" || router === undefined) return [];
    const error = emitIcmpError(headerTo(ip, router), { type: "packetTooBig", mtuBytes }, packet);
    return [{ direction: opposite(direction), packet: error }];
  }
}

function headerTo(ip: IpHeader, router: IpAddress): IpHeader {
  const common = { source: router, destination: ip.source, protocol: 0, trafficClass: 0, hopLimit: HOP_LIMIT };
  return ip.family === "ipv4"
    ? { family: "ipv4", ...common, identification: 0, dontFragment: false }
    : { family: "ipv6", ...common, flowLabel: 0 };
}
