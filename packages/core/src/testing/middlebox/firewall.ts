/** A stateful firewall: lets pass what belongs to connections that were opened from the inside, and forgets silent ones. */

import { resetFor } from "../../stack/tcp/reset.ts";
import type { TcpPacket } from "../../wire/tcp/packet.ts";
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";
import { FlowTable, flowEnds, flowKey } from "./flow-table.ts";
import { type Direction, type Middlebox, opposite, type Passed, passTcp, type TcpResult } from "./middlebox.ts";

export interface FirewallOptions {
  /** How long a connection may be silent; for ever when left out. */
  readonly idleMs?: number;
  /** What becomes of segments of connections that are not known: a reset goes back, or nothing. */
  readonly refusal?: "reset" | "drop";
}

export class Firewall implements Middlebox {
  readonly #flows: FlowTable<true>;
  readonly #refusal: "reset" | "drop";

  constructor({ idleMs, refusal = "drop" }: FirewallOptions = {}) {
    this.#flows = new FlowTable(idleMs);
    this.#refusal = refusal;
  }

  onPacket(nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    return passTcp(packet, direction, (tcp) => {
      const key = flowKey(flowEnds(tcp, direction));
      const opens = direction === "forward" && isOpening(tcp.segment);
      if (this.#flows.get(key, nowMs) === undefined && !opens) return this.#refuse(tcp, direction);
      if (opens) this.#flows.set(key, true, nowMs);
      return [{ direction, packet: tcp }];
    });
  }

  #refuse(tcp: TcpPacket, direction: Direction): TcpResult {
    const segment = this.#refusal === "reset" ? resetFor(tcp.segment) : undefined;
    const ip = { ...tcp.ip, source: tcp.ip.destination, destination: tcp.ip.source };
    return segment === undefined ? [] : [{ direction: opposite(direction), packet: { ip, segment } }];
  }
}

function isOpening({ flags }: TcpSegment): boolean {
  return (flags & (TCP_FLAG.syn | TCP_FLAG.ack)) === TCP_FLAG.syn;
}
