/** Two TCP connections joined back to back in virtual time. */
import { SeededRandom } from "@hybrid-access/core/base/random";

import { TcpConnection } from "@hybrid-access/core/stack/tcp/connection";
import type { TcpEvent } from "@hybrid-access/core/stack/tcp/events";
import { resetFor } from "@hybrid-access/core/stack/tcp/reset";
import {
  type AcceptOptions,
  DEFAULT_TCP_SETTINGS,
  type OpenOptions,
  type TcpConnectionOptions,
  type TcpSettings,
} from "@hybrid-access/core/stack/tcp/settings";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { CLIENT, SERVER, SegmentLink, type SegmentLinkOptions } from "../segment-link.ts";

export interface TcpPairOptions {
  readonly seed?: number;
  readonly link?: SegmentLinkOptions;
  readonly linkBack?: SegmentLinkOptions;
  readonly client?: Partial<TcpSettings>;
  readonly server?: Partial<TcpSettings>;
  readonly open?: OpenOptions;
  readonly accept?: AcceptOptions;
  /** The sequence numbers that both begin with. */
  readonly initialSequence?: number;
}

/** What one end has seen. */
export class Side {
  readonly connection: TcpConnection;
  readonly events: TcpEvent[] = [];
  received: Uint8Array[] = [];
  receivedBytes = 0;
  /** Reads as soon as there is something. */
  reads = true;

  constructor(options: TcpConnectionOptions) {
    this.connection = new TcpConnection(options);
  }

  drain(): void {
    for (let event = this.connection.pollEvent(); event !== undefined; event = this.connection.pollEvent()) {
      this.events.push(event);
    }
    if (this.reads) this.readAll();
  }

  readAll(most = 65_536): void {
    const into = new Uint8Array(most);
    for (let length = this.connection.read(into); length > 0; length = this.connection.read(into)) {
      this.received.push(into.slice(0, length));
      this.receivedBytes += length;
    }
  }

  get bytes(): Uint8Array {
    return Uint8Array.from(this.received.flatMap((part) => Array.from(part)));
  }
}

export class TcpPair {
  nowMs = 1000;
  readonly client: Side;
  readonly server: Side;
  readonly forward: SegmentLink;
  readonly backward: SegmentLink;
  /** Done after every step: what applications do. */
  onStep: () => void = () => {};
  #accepted = false;
  readonly #options: TcpPairOptions;

  constructor(options: TcpPairOptions = {}) {
    this.#options = options;
    const random = new SeededRandom(options.seed ?? 1);
    const local = { address: CLIENT, port: 40_000 };
    const remote = { address: SERVER, port: 80 };
    const settings = (part: Partial<TcpSettings> | undefined) => ({ ...DEFAULT_TCP_SETTINGS, ...part });
    const first = { initialSequence: options.initialSequence ?? 0xffff_f000, timestampOffset: 0xffff_fff0 };
    this.client = new Side({ local, remote, settings: settings(options.client), ...first });
    this.server = new Side({ local: remote, remote: local, settings: settings(options.server), ...first });
    this.forward = new SegmentLink(options.link ?? {}, random);
    this.backward = new SegmentLink(options.linkBack ?? options.link ?? {}, random);
  }

  open(): this {
    this.client.connection.open(this.nowMs, this.#options.open ?? {});
    return this;
  }

  /** Opens, and goes on until both are established. */
  connect(): this {
    this.open();
    this.run(() => this.client.events.includes("connected") && this.server.events.includes("connected"));
    return this;
  }

  /** Goes on until `done`, or until nothing is left to happen, or for `limitMs`. Returns whether it is done. */
  run(done: () => boolean, limitMs = 600_000): boolean {
    const endMs = this.nowMs + limitMs;
    for (let steps = 0; steps < 5_000_000; steps++) {
      this.#settle();
      if (done()) return true;
      const next = this.nextMs;
      if (next === undefined || next > endMs) return done();
      this.nowMs = Math.max(this.nowMs, next);
      this.client.connection.onTimeout(this.nowMs);
      this.server.connection.onTimeout(this.nowMs);
      this.#deliver();
    }
    throw new Error("a livelock: 5,000,000 steps");
  }

  get nextMs(): number | undefined {
    const times = [
      this.client.connection.pollTimeout(),
      this.server.connection.pollTimeout(),
      this.forward.nextMs,
      this.backward.nextMs,
    ].filter((at) => at !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #settle(): void {
    for (let rounds = 0; rounds < 1000; rounds++) {
      this.client.drain();
      this.server.drain();
      this.onStep();
      if (!this.#transmit(this.client, this.forward) && !this.#transmit(this.server, this.backward)) return;
    }
    throw new Error("a livelock: something to send without end");
  }

  #transmit(side: Side, link: SegmentLink): boolean {
    let any = false;
    for (;;) {
      const segment = side.connection.pollTransmit(this.nowMs);
      if (segment === undefined) return any;
      for (const one of cut(segment, side.connection.sender.segmentBytes)) link.send(one, this.nowMs);
      any = true;
    }
  }

  /** After each segment an end sends what it wants to. */
  #deliver(): void {
    for (let one = this.forward.deliver(this.nowMs); one !== undefined; one = this.forward.deliver(this.nowMs)) {
      if (!this.#accepted && one.flags === TCP_FLAG.syn && this.server.connection.state === "closed") {
        this.#accepted = true;
        this.server.connection.accept(one, this.nowMs, this.#options.accept ?? {});
      } else this.#receive(this.server, one, this.backward);
    }
    for (let one = this.backward.deliver(this.nowMs); one !== undefined; one = this.backward.deliver(this.nowMs)) {
      this.#receive(this.client, one, this.forward);
    }
  }

  /** What a host does: there is an answer to segments of a connection that is forgotten. */
  #receive({ connection }: Side, segment: TcpSegment, back: SegmentLink): void {
    if (connection.closeReason === undefined) connection.receive(segment, this.nowMs);
    else {
      const reset = resetFor(segment);
      if (reset !== undefined) back.send(reset, this.nowMs);
    }
    this.#transmit(connection === this.client.connection ? this.client : this.server, back);
  }
}

/** What a device does with a segment that is larger than the path carries. */
function cut(segment: TcpSegment, segmentBytes: number): TcpSegment[] {
  const { payload, sequence, flags } = segment;
  if (payload.length <= segmentBytes || (flags & TCP_FLAG.syn) !== 0) return [segment];
  const parts: TcpSegment[] = [];
  for (let offset = 0; offset < payload.length; offset += segmentBytes) {
    const last = offset + segmentBytes >= payload.length;
    parts.push({
      ...segment,
      sequence: (sequence + offset) >>> 0,
      payload: payload.subarray(offset, offset + segmentBytes),
      flags: last ? flags : flags & ~(TCP_FLAG.fin | TCP_FLAG.psh),
    });
  }
  return parts;
}

/** Bytes of which any two at different places in a short stretch differ. */
export function pattern(length: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) bytes[index] = (index * 7 + (index >> 8) * 13 + seed) & 0xff;
  return bytes;
}
