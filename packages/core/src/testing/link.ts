/**
 * One direction of a link: rate, queue, delay, jitter, loss, reordering and a middlebox. Pure: packets and time in, packets and the
 * next time out. The lab's emulator drives it with real packets, a simulator with virtual time.
 */
import { MinHeap } from "../base/min-heap.ts";
import type { Random } from "../base/random.ts";
import { stripMultipath } from "./strip-multipath.ts";

/** What a link does to packets. Everything left out is ideal. */
export interface LinkOptions {
  /** Serialisation rate; left out, the link takes no time to send. */
  readonly rateBitsPerSecond?: number;
  /** What may wait to be sent; more is dropped at the tail. */
  readonly queueBytes?: number;
  /** Propagation, one way. */
  readonly delayMs?: number;
  /** Added to the delay, uniform from 0 to this; order is kept. */
  readonly jitterMs?: number;
  /** The share of packets lost, 0 to 1. */
  readonly loss?: number;
  /** The share of packets that arrive `reorderMs` late, behind those sent after them, 0 to 1. */
  readonly reorder?: number;
  /** How late a reordered packet is. */
  readonly reorderMs?: number;
  /** The link's middlebox removes Multipath TCP from SYNs. */
  readonly stripMultipath?: boolean;
}

/** What has passed a link, in packets and bytes. */
export interface LinkCounters {
  deliveredPackets: number;
  deliveredBytes: number;
  lostPackets: number;
  droppedPackets: number;
}

const DEFAULT_QUEUE_BYTES = 256 * 1024;

export class Link {
  readonly counters: LinkCounters = { deliveredPackets: 0, deliveredBytes: 0, lostPackets: 0, droppedPackets: 0 };
  readonly #random: Random;
  readonly #inFlight = new MinHeap<Uint8Array>();
  #options: LinkOptions;
  #sentAtMs = 0;
  #lastArrivalMs = 0;

  constructor(options: LinkOptions, random: Random) {
    this.#options = options;
    this.#random = random;
  }

  /** Changes the link from the next packet on; packets in flight keep the time they were given. */
  configure(options: LinkOptions): void {
    this.#options = options;
  }

  /** Takes a packet, which the link then owns. */
  enqueue(packet: Uint8Array, nowMs: number): void {
    if (this.#options.stripMultipath) stripMultipath(packet);
    const { rateBitsPerSecond = Number.POSITIVE_INFINITY, queueBytes = DEFAULT_QUEUE_BYTES, loss = 0 } = this.#options;
    if (loss > 0 && this.#random.next() < loss) {
      this.counters.lostPackets += 1;
      return;
    }
    const waitingMs = Math.max(0, this.#sentAtMs - nowMs);
    if (waitingMs > 0 && (waitingMs * rateBitsPerSecond) / 8000 + packet.length > queueBytes) {
      this.counters.droppedPackets += 1;
      return;
    }
    this.#sentAtMs = Math.max(nowMs, this.#sentAtMs) + (packet.length * 8000) / rateBitsPerSecond;
    this.#inFlight.push(this.#arrivalMs(), packet);
  }

  #arrivalMs(): number {
    const { delayMs = 0, jitterMs = 0, reorder = 0, reorderMs = 0 } = this.#options;
    const onTime = this.#sentAtMs + delayMs + (jitterMs > 0 ? this.#random.next() * jitterMs : 0);
    if (reorder > 0 && this.#random.next() < reorder) return onTime + reorderMs;
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, onTime);
    return this.#lastArrivalMs;
  }

  /** The next packet that has arrived by `nowMs`, or undefined. */
  deliver(nowMs: number): Uint8Array | undefined {
    const next = this.#inFlight.nextKey;
    if (next === undefined || next > nowMs) return undefined;
    const packet = this.#inFlight.pop();
    this.counters.deliveredPackets += 1;
    this.counters.deliveredBytes += packet?.length ?? 0;
    return packet;
  }

  /** When {@link deliver} has something next, or undefined. */
  get nextDeliveryMs(): number | undefined {
    return this.#inFlight.nextKey;
  }
}
