/** A stateful firewall: lets pass what belongs to connections that were opened from the inside, and forgets silent ones. */

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
    const isReset = (tcp.segment.flags & TCP_FLAG.rst) !== 0;
    return this.#refusal === "drop" || isReset ? [] : [{ direction: opposite(direction), packet: resetFor(tcp) }];
  }
}

function isOpening({ flags }: TcpSegment): boolean {
  return (flags & (TCP_FLAG.syn | TCP_FLAG.ack)) === TCP_FLAG.syn;
}

/** The reset that answers a segment of a connection that does not exist (RFC 9293 section 3.10.7.1). */
export function resetFor({ ip, segment }: TcpPacket): TcpPacket {
  const { flags, payload, sequence, acknowledgment } = segment;
  const hasAck = (flags & TCP_FLAG.ack) !== 0;
  const length = payload.length + ((flags & TCP_FLAG.syn) === 0 ? 0 : 1) + ((flags & TCP_FLAG.fin) === 0 ? 0 : 1);
  return {
    ip: { ...ip, source: ip.destination, destination: ip.source },
    segment: {
      sourcePort: segment.destinationPort,
      destinationPort: segment.sourcePort,
      sequence: hasAck ? acknowledgment : 0,
      acknowledgment: hasAck ? 0 : (sequence + length) >>> 0,
      flags: hasAck ? TCP_FLAG.rst : TCP_FLAG.rst | TCP_FLAG.ack,
      window: 0,
      urgentPointer: 0,
      options: [],
      payload: new Uint8Array(),
    },
  };
}
