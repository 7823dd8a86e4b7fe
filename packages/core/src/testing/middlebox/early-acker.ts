/**
 * A performance-enhancing proxy of the simplest kind (RFC 3135): acknowledges data before the receiver has, without
 * options of its own, and does not send again what is lost behind it. Why Multipath TCP acknowledges data at connection
 * level too (RFC 8684 section 3.3.2).
 */
import type { TcpPacket } from "../../wire/tcp/packet.ts";
import { TCP_FLAG } from "../../wire/tcp/segment.ts";
import { FlowTable, flowEnds, flowKey } from "./flow-table.ts";
import { type Direction, type Middlebox, opposite, type Passed, passTcp, type TcpResult } from "./middlebox.ts";

/** Of each direction, the byte that is expected next, once the SYN has told it. */
type Expected = Partial<Record<Direction, number>>;

export class EarlyAcker implements Middlebox {
  readonly #flows = new FlowTable<Expected>();

  onPacket(nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    return passTcp(packet, direction, (tcp) => {
      const expected = this.#flows.getOrMake(flowKey(flowEnds(tcp, direction)), nowMs, () => ({}));
      return [{ direction, packet: tcp }, ...acknowledge(tcp, direction, expected)];
    });
  }
}

function acknowledge(tcp: TcpPacket, direction: Direction, expected: Expected): TcpResult {
  const { sequence, flags, payload } = tcp.segment;
  if ((flags & TCP_FLAG.syn) !== 0) {
    expected[direction] = (sequence + 1 + payload.length) >>> 0;
    return [];
  }
  if (payload.length === 0 || sequence !== expected[direction]) return [];
  const next = (sequence + payload.length) >>> 0;
  expected[direction] = next;
  return [{ direction: opposite(direction), packet: acknowledgmentOf(tcp, next) }];
}

function acknowledgmentOf({ ip, segment }: TcpPacket, acknowledgment: number): TcpPacket {
  return {
    ip: { ...ip, source: ip.destination, destination: ip.source },
    segment: {
      ...segment,
      sourcePort: segment.destinationPort,
      destinationPort: segment.sourcePort,
      sequence: segment.acknowledgment,
      acknowledgment,
      flags: TCP_FLAG.ack,
      options: [],
      payload: new Uint8Array(),
    },
  };
}
