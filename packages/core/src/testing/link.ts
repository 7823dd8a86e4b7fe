/**
 * One direction of a link: rate, queue, delay, jitter, loss, reordering, duplication, corruption and a middlebox. Pure:
 * packets and time in, packets and the next time out. The lab's emulator drives it with real packets, the simulator with
 * virtual time.
 */
import { MinHeap } from "../base/min-heap.ts";
import { type Random, randomBelow } from "../base/random.ts";
import { LossModel, type LossOptions } from "./loss.ts";
import { type DeliveryTrace, RateSerializer, type Serializer, TraceSerializer } from "./serializer.ts";
import { stripMultipath } from "./strip-multipath.ts";

/** What a link does to packets. Everything left out is ideal. */
export interface LinkOptions extends LossOptions {
  /** Serialisation rate; left out, the link takes no time to send. */
  readonly rateBitsPerSecond?: number;
  /** When packets may leave, instead of a rate. */
  readonly trace?: DeliveryTrace;
  /** What may wait to be sent; more is dropped at the tail. */
  readonly queueBytes?: number;
  /** Propagation, one way. */
  readonly delayMs?: number;
  /** Added to the delay, uniform from 0 to this; order is kept. */
  readonly jitterMs?: number;
  /** The share of packets that arrive `reorderMs` late, behind those sent after them, 0 to 1. */
  readonly reorder?: number;
  /** How late a reordered packet is. */
  readonly reorderMs?: number;
  /** The share of packets that arrive twice, 0 to 1. */
  readonly duplicate?: number;
  /** The share of packets in which one bit is changed, 0 to 1. */
  readonly corrupt?: number;
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
  readonly #loss: LossModel;
  readonly #rate = new RateSerializer();
  readonly #inFlight = new MinHeap<Uint8Array>();
  #trace: TraceSerializer | undefined;
  #options: LinkOptions = {};
  #lastArrivalMs = 0;

  constructor(options: LinkOptions, random: Random) {
    this.#random = random;
    this.#loss = new LossModel(random);
    this.configure(options);
  }

  /** Changes the link from the next packet on; packets in flight keep the time they were given. */
  configure(options: LinkOptions): void {
    this.#options = options;
    this.#rate.rateBitsPerSecond = options.rateBitsPerSecond ?? Number.POSITIVE_INFINITY;
    if (options.trace !== this.#trace?.trace) this.#trace = options.trace && new TraceSerializer(options.trace);
  }

  /** Takes a packet, which the link then owns. */
  enqueue(packet: Uint8Array, nowMs: number): void {
    if (this.#options.stripMultipath) stripMultipath(packet);
    const { queueBytes = DEFAULT_QUEUE_BYTES, duplicate = 0, corrupt = 0 } = this.#options;
    if (this.#loss.loses(this.#options)) {
      this.counters.lostPackets += 1;
      return;
    }
    const serializer: Serializer = this.#trace ?? this.#rate;
    const waitingBytes = serializer.waitingBytes(nowMs);
    if (waitingBytes > 0 && waitingBytes + packet.length > queueBytes) {
      this.counters.droppedPackets += 1;
      return;
    }
    const sentAtMs = serializer.send(nowMs, packet.length);
    if (corrupt > 0 && this.#random.next() < corrupt) this.#changeOneBit(packet);
    this.#inFlight.push(this.#arrivalMs(sentAtMs), packet);
    if (duplicate > 0 && this.#random.next() < duplicate) {
      this.#inFlight.push(this.#arrivalMs(sentAtMs), packet.slice());
    }
  }

  #changeOneBit(packet: Uint8Array): void {
    const at = randomBelow(this.#random, packet.length);
    packet[at] = (packet[at] ?? 0) ^ (1 << randomBelow(this.#random, 8));
  }

  #arrivalMs(sentAtMs: number): number {
    const { delayMs = 0, jitterMs = 0, reorder = 0, reorderMs = 0 } = this.#options;
    const onTime = sentAtMs + delayMs + (jitterMs > 0 ? this.#random.next() * jitterMs : 0);
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
