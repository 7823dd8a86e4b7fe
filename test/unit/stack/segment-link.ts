/**
 * One direction of a path for segments, in virtual time: every segment goes over it as bytes, so that it is seen to be
 * a valid one.
 */
import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { MinHeap } from "@hybrid-access/core/base/min-heap";
import type { Random } from "@hybrid-access/core/base/random";
import {
  emitTcpSegment,
  hasSoundChecksum,
  parseTcpSegment,
  type TcpSegment,
  tcpSegmentByteLength,
} from "@hybrid-access/core/wire/tcp/segment";

const ADDRESSES = { source: ipAddress("192.0.2.1"), destination: ipAddress("192.0.2.2") };

export interface SegmentLinkOptions {
  readonly delayMs?: number;
  readonly rateBitsPerSecond?: number;
  /** Nothing arrives before it; what was held arrives then, in order. */
  readonly heldUntilMs?: number;
  /** What may wait to be sent. */
  readonly queueBytes?: number;
  readonly loss?: number;
  readonly duplicate?: number;
  /** The share of segments that arrive up to `reorderMs` late. */
  readonly reorder?: number;
  readonly reorderMs?: number;
  /** What a middlebox makes of a segment: another one, several, or none. */
  readonly middlebox?: (segment: TcpSegment, index: number) => readonly TcpSegment[];
  /** The largest segment, header and all, that passes. */
  readonly largestBytes?: number;
}

export class SegmentLink {
  /** Everything that was sent, before loss. */
  readonly sent: TcpSegment[] = [];
  #options: SegmentLinkOptions;
  readonly #random: Random;
  readonly #inFlight = new MinHeap<Uint8Array>();
  #busyUntilMs = 0;
  #count = 0;

  constructor(options: SegmentLinkOptions, random: Random) {
    this.#options = options;
    this.#random = random;
  }

  configure(options: SegmentLinkOptions): void {
    this.#options = options;
  }

  send(segment: TcpSegment, nowMs: number): void {
    this.sent.push(segment);
    const { middlebox, largestBytes = Number.POSITIVE_INFINITY } = this.#options;
    const passed = middlebox === undefined ? [segment] : middlebox(segment, this.#count++);
    for (const one of passed) {
      const bytes = toBytes(one);
      if (bytes.length > largestBytes) continue;
      const copies = this.#random.next() < (this.#options.duplicate ?? 0) ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) this.#enqueue(bytes, nowMs);
    }
  }

  #enqueue(bytes: Uint8Array, nowMs: number): void {
    const { rateBitsPerSecond = Number.POSITIVE_INFINITY, queueBytes = 2_000_000, loss = 0 } = this.#options;
    if (this.#random.next() < loss) return;
    const sendMs = ((bytes.length + 20) * 8000) / rateBitsPerSecond;
    if (sendMs > 0 && ((this.#busyUntilMs - nowMs) * rateBitsPerSecond) / 8000 > queueBytes) return;
    this.#busyUntilMs = Math.max(nowMs, this.#busyUntilMs) + sendMs;
    const { delayMs = 10, reorder = 0, reorderMs = 0, heldUntilMs = 0 } = this.#options;
    const late = this.#random.next() < reorder ? this.#random.next() * reorderMs : 0;
    this.#inFlight.push(Math.max(this.#busyUntilMs + delayMs + late, heldUntilMs), bytes);
  }

  get nextMs(): number | undefined {
    return this.#inFlight.nextKey;
  }

  deliver(nowMs: number): TcpSegment | undefined {
    const next = this.#inFlight.nextKey;
    if (next === undefined || next > nowMs) return undefined;
    const bytes = this.#inFlight.pop();
    return bytes === undefined ? undefined : fromBytes(bytes);
  }
}

function toBytes(segment: TcpSegment): Uint8Array {
  const bytes = new Uint8Array(tcpSegmentByteLength(segment));
  const end = emitTcpSegment(segment, ADDRESSES, bytes, 0);
  if (typeof end !== "number") throw new Error(`no room for ${JSON.stringify(segment.options)}`);
  return bytes;
}

function fromBytes(bytes: Uint8Array): TcpSegment {
  const segment = parseTcpSegment(bytes);
  if (typeof segment === "string" || !hasSoundChecksum(bytes, ADDRESSES)) throw new Error(`not a segment: ${segment}`);
  return segment;
}

/** An address that tests use. */
export const CLIENT: IpAddress = ADDRESSES.source;
export const SERVER: IpAddress = ADDRESSES.destination;
