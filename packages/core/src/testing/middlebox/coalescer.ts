/**
 * A box that joins segments which follow each other, as receive offload does without looking at options: those of the
 * second one are lost, and with them its DSS mapping (RFC 8684 section 3.3 says what survives that).
 */
import { concatBytes } from "../../base/bytes.ts";
import { emitTcpPacket, type TcpPacket } from "../../wire/tcp/packet.ts";
import { TCP_FLAG } from "../../wire/tcp/segment.ts";
import { flowEnds, flowKey } from "./flow-table.ts";
import { type Direction, type Middlebox, type Passed, passTcp, type TcpResult } from "./middlebox.ts";

export interface CoalescerOptions {
  /** The payload of what is joined. */
  readonly mostBytes: number;
  /** How long it waits for another segment. */
  readonly waitMs: number;
}

interface Held {
  readonly tcp: TcpPacket;
  readonly direction: Direction;
  readonly untilMs: number;
}

/** Each direction of a connection has at most one segment held. */
const MOST_HELD = 4096;

export class Coalescer implements Middlebox {
  readonly #settings: CoalescerOptions;
  /** In the order of their times. */
  readonly #held = new Map<string, Held>();

  constructor(settings: CoalescerOptions) {
    this.#settings = settings;
  }

  onPacket(nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    return passTcp(packet, direction, (tcp) => this.#take(nowMs, tcp, direction));
  }

  pollTimeout(): number | undefined {
    return this.#held.values().next().value?.untilMs;
  }

  onTimeout(nowMs: number): readonly Passed[] {
    const due = Array.from(this.#held).filter(([, { untilMs }]) => untilMs <= nowMs);
    for (const [key] of due) this.#held.delete(key);
    return due.map(([, { tcp, direction }]) => ({ direction, packet: emitTcpPacket(tcp) }));
  }

  #take(nowMs: number, tcp: TcpPacket, direction: Direction): TcpResult {
    const key = direction + flowKey(flowEnds(tcp, direction));
    const held = this.#held.get(key);
    const joined = held && join(held.tcp, tcp, this.#settings.mostBytes);
    if (held !== undefined && joined !== undefined && mayWait(joined)) {
      this.#held.set(key, { ...held, tcp: joined });
      return [];
    }
    this.#held.delete(key);
    const earlier = held === undefined || joined !== undefined ? [] : [{ direction, packet: held.tcp }];
    const current = joined ?? tcp;
    if (!mayWait(current) || this.#held.size >= MOST_HELD) return [...earlier, { direction, packet: current }];
    this.#held.set(key, { tcp: current, direction, untilMs: nowMs + this.#settings.waitMs });
    return earlier;
  }
}

/** Only plain data waits: nothing that opens, ends, or asks for a push. */
function mayWait({ segment }: TcpPacket): boolean {
  return segment.payload.length > 0 && (segment.flags & ~TCP_FLAG.ack) === 0;
}

/** Both as one, with the options of the first; undefined when the second does not follow it, or both are too much. */
function join(first: TcpPacket, second: TcpPacket, mostBytes: number): TcpPacket | undefined {
  const { segment } = first;
  const next = (segment.sequence + segment.payload.length) >>> 0;
  const bytes = segment.payload.length + second.segment.payload.length;
  const follows = second.segment.sequence === next && second.segment.payload.length > 0 && bytes <= mostBytes;
  if (!follows || (second.segment.flags & (TCP_FLAG.syn | TCP_FLAG.rst | TCP_FLAG.urg)) !== 0) return undefined;
  const { flags, acknowledgment, window } = second.segment;
  const payload = concatBytes([segment.payload, second.segment.payload]);
  return { ip: first.ip, segment: { ...segment, flags, acknowledgment, window, payload } };
}
