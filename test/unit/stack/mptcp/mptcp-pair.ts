/** Two Multipath TCP connections joined by several paths in virtual time. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { SeededRandom } from "@hybrid-access/core/base/random";
import { PLATFORM_HASHES } from "@hybrid-access/core/platform/hashes";
import { MptcpConnection, type SubflowPath } from "@hybrid-access/core/stack/mptcp/connection";
import type { MptcpEvent } from "@hybrid-access/core/stack/mptcp/events";
import { findMptcp } from "@hybrid-access/core/stack/mptcp/handshake";
import { DEFAULT_MPTCP_SETTINGS, type MptcpSettings } from "@hybrid-access/core/stack/mptcp/settings";
import type { Subflow } from "@hybrid-access/core/stack/mptcp/subflow";
import type { StackPorts } from "@hybrid-access/core/stack/ports";
import { InitialNumbers } from "@hybrid-access/core/stack/tcp/initial-numbers";
import { resetFor } from "@hybrid-access/core/stack/tcp/reset";
import type { AcceptOptions, OpenOptions, TcpSettings } from "@hybrid-access/core/stack/tcp/settings";
import type { MptcpOption } from "@hybrid-access/core/wire/mptcp/options";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { SegmentLink, type SegmentLinkOptions } from "../segment-link.ts";

export interface PathOptions {
  readonly up?: SegmentLinkOptions;
  readonly down?: SegmentLinkOptions;
}

export interface MptcpPairOptions {
  readonly seed?: number;
  readonly paths: readonly PathOptions[];
  readonly client?: Partial<MptcpSettings>;
  readonly server?: Partial<MptcpSettings>;
  readonly tcp?: Partial<TcpSettings>;
  readonly open?: OpenOptions;
  readonly accept?: AcceptOptions;
}

export class MptcpSide {
  readonly connection: MptcpConnection;
  readonly events: MptcpEvent[] = [];
  readonly flows = new Map<string, Subflow>();
  readonly received: Uint8Array[] = [];
  receivedBytes = 0;
  reads = true;

  constructor(connection: MptcpConnection) {
    this.connection = connection;
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
    const joined = new Uint8Array(this.receivedBytes);
    let offset = 0;
    for (const part of this.received) {
      joined.set(part, offset);
      offset += part.length;
    }
    return joined;
  }

  saw(type: MptcpEvent["type"], count = 1): boolean {
    return this.events.filter((event) => event.type === type).length >= count;
  }

  eventOf<Type extends MptcpEvent["type"]>(type: Type): Extract<MptcpEvent, { type: Type }> | undefined {
    return this.events.find((event) => event.type === type) as Extract<MptcpEvent, { type: Type }> | undefined;
  }
}

interface Path {
  readonly up: SegmentLink;
  readonly down: SegmentLink;
}

export class MptcpPair {
  nowMs = 1000;
  readonly client: MptcpSide;
  readonly server: MptcpSide;
  readonly paths: Path[];
  readonly ports: StackPorts;
  onStep: () => void = () => {};
  readonly #options: MptcpPairOptions;
  #nextPort = 40_000;

  constructor(options: MptcpPairOptions) {
    this.#options = options;
    const random = new SeededRandom(options.seed ?? 1);
    this.ports = {
      hashes: PLATFORM_HASHES,
      randomBytes: (length) => Uint8Array.from({ length }, () => Math.floor(random.next() * 256)),
    };
    this.client = new MptcpSide(this.#connection(options.client));
    this.server = new MptcpSide(this.#connection(options.server));
    this.paths = options.paths.map(({ up = {}, down = {} }) => ({
      up: new SegmentLink(up, random),
      down: new SegmentLink(down, random),
    }));
  }

  #connection(part: Partial<MptcpSettings> = {}): MptcpConnection {
    const settings: MptcpSettings = { ...DEFAULT_MPTCP_SETTINGS, ...part };
    const { version } = settings;
    const tcp = { ...settings.tcp, ...this.#options.tcp };
    const localKey = this.ports.randomBytes(8);
    const numbers = new InitialNumbers(this.ports);
    return new MptcpConnection({ settings: { ...settings, tcp }, ports: this.ports, version, localKey, numbers });
  }

  /** The path with this number, from the client's side. */
  pathOf(index: number, part: Partial<SubflowPath> = {}): SubflowPath {
    return {
      local: { address: ipAddress(`192.0.2.${index + 1}`), port: this.#nextPort++ },
      remote: { address: ipAddress("198.51.100.1"), port: 443 },
      localAddressId: index,
      remoteAddressId: 0,
      backup: false,
      ...part,
    };
  }

  open(firstBytes?: Uint8Array): this {
    if (firstBytes !== undefined) this.client.connection.write(firstBytes, this.nowMs);
    this.#register(this.client.connection.open(this.pathOf(0), this.nowMs, this.#options.open ?? {}));
    return this;
  }

  /** Opens, and goes on until both sides know that they speak Multipath TCP, or that they do not. */
  connect(): this {
    this.open();
    this.run(() => this.server.saw("connected"), 10_000);
    // Without data nothing tells the client that options pass.
    for (const { tcp } of this.server.connection.subflows) tcp.requestAcknowledgement();
    const knows = (side: MptcpSide) => side.saw("subflowEstablished") || side.saw("fallback");
    const both = () => knows(this.client) && knows(this.server) && this.server.saw("connected");
    if (!this.run(both, 10_000)) throw new Error("not connected");
    return this;
  }

  /** Opens a further subflow over a path. */
  join(index: number, part: Partial<SubflowPath> = {}): Subflow | string {
    const subflow = this.client.connection.join(this.pathOf(index, part), this.nowMs);
    if (typeof subflow !== "string") this.#register(subflow);
    return subflow;
  }

  /** Goes on until both sides know subflow `count`. */
  joined(count: number): this {
    const both = () => this.client.saw("subflowEstablished", count) && this.server.saw("subflowEstablished", count);
    if (!this.run(both, 20_000)) throw new Error("the subflow is not established");
    return this;
  }

  #register(subflow: Subflow): void {
    this.client.flows.set(this.#key(this.#indexOf(subflow), subflow.tcp.local.port), subflow);
  }

  #indexOf({ tcp }: Subflow): number {
    return (tcp.local.address[15] ?? 1) - 1;
  }

  #key(index: number, clientPort: number): string {
    return `${index}:${clientPort}`;
  }

  run(done: () => boolean, limitMs = 600_000): boolean {
    const endMs = this.nowMs + limitMs;
    for (let steps = 0; steps < 3_000_000; steps++) {
      this.#settle();
      if (done()) return true;
      const next = this.nextMs;
      if (next === undefined || next > endMs) return done();
      this.nowMs = Math.max(this.nowMs, next);
      this.client.connection.onTimeout(this.nowMs);
      this.server.connection.onTimeout(this.nowMs);
      this.#deliver();
    }
    throw new Error("a livelock: too many steps");
  }

  get nextMs(): number | undefined {
    const links = this.paths.flatMap(({ up, down }) => [up.nextMs, down.nextMs]);
    const times = [this.client.connection.pollTimeout(), this.server.connection.pollTimeout(), ...links];
    const known = times.filter((at) => at !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  #settle(): void {
    for (let rounds = 0; rounds < 1000; rounds++) {
      this.client.drain();
      this.server.drain();
      this.onStep();
      if (!this.#transmit(this.client) && !this.#transmit(this.server)) return;
    }
    throw new Error("a livelock: something to send without end");
  }

  #transmit(side: MptcpSide): boolean {
    for (let any = false; ; any = true) {
      const out = side.connection.pollTransmit(this.nowMs);
      if (out === undefined) return any;
      const address = side === this.client ? out.subflow.tcp.local.address : out.subflow.tcp.remote.address;
      const path = this.paths[(address[15] ?? 1) - 1];
      const link = side === this.client ? path?.up : path?.down;
      for (const part of cut(out.segment, out.subflow.tcp.sender.segmentBytes)) link?.send(part, this.nowMs);
    }
  }

  #deliver(): void {
    for (const [index, { up, down }] of this.paths.entries()) {
      for (let one = up.deliver(this.nowMs); one !== undefined; one = up.deliver(this.nowMs)) {
        this.#toServer(index, one);
        this.#transmit(this.server);
      }
      for (let one = down.deliver(this.nowMs); one !== undefined; one = down.deliver(this.nowMs)) {
        const subflow = this.client.flows.get(this.#key(index, one.destinationPort));
        if (subflow !== undefined && !subflow.tcp.isDone) this.client.connection.receive(subflow, one, this.nowMs);
        else this.#refuse(one, up);
        this.#transmit(this.client);
      }
    }
  }

  #toServer(index: number, segment: TcpSegment): void {
    const key = this.#key(index, segment.sourcePort);
    const known = this.server.flows.get(key);
    if (known !== undefined && !known.tcp.isDone) return this.server.connection.receive(known, segment, this.nowMs);
    const opened = segment.flags === TCP_FLAG.syn ? this.#accept(index, segment) : undefined;
    if (opened === undefined) this.#refuse(segment, this.paths[index]?.down);
    else this.server.flows.set(key, opened);
  }

  #accept(index: number, syn: TcpSegment): Subflow | undefined {
    const options = syn.options as readonly MptcpOption[];
    const path: SubflowPath = {
      local: { address: ipAddress("198.51.100.1"), port: syn.destinationPort },
      remote: { address: ipAddress(`192.0.2.${index + 1}`), port: syn.sourcePort },
      localAddressId: 0,
      remoteAddressId: 0,
      backup: false,
    };
    const join = findMptcp(options, "joinSyn");
    const { connection } = this.server;
    if (join !== undefined) {
      const answer = join.token === connection.token ? connection.acceptJoin(syn, join, path, this.nowMs) : 1;
      return typeof answer === "number" ? undefined : answer;
    }
    if (connection.subflows.length > 0 || this.server.flows.size > 0) return undefined;
    return connection.accept(syn, findMptcp(options, "capable"), path, this.nowMs, this.#options.accept ?? {});
  }

  #refuse(segment: TcpSegment, back: SegmentLink | undefined): void {
    const reset = resetFor(segment);
    if (reset !== undefined) back?.send(reset, this.nowMs);
  }
}

/** What a device does with a segment that is larger than the path carries: options go with each part. */
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
