/** An uplink with a middlebox between the engine and its device. */
import type { IpAddress } from "@hybrid-access/core/base/ip-address";
import type { ArrivedPacket, Uplink } from "@hybrid-access/core/engine/userspace/uplink";
import type { Epoll } from "@hybrid-access/core/platform/epoll";
import type { OutgoingPacket } from "@hybrid-access/core/stack/outgoing-packet";
import { type Direction, type Middlebox, opposite } from "@hybrid-access/core/testing/middlebox/middlebox";
import { emitTcpPacket, parseTcpPacket } from "@hybrid-access/core/wire/tcp/packet";

export class BoxedUplink implements Uplink {
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  readonly #inner: Uplink;
  readonly #box: () => Middlebox | undefined;
  readonly #outward: Direction;
  readonly #arrived: Uint8Array[] = [];

  /** `opens`: connections are opened on the engine's side of the box. */
  constructor(inner: Uplink, opens: boolean, box: () => Middlebox | undefined) {
    this.name = inner.name;
    this.addresses = inner.addresses;
    this.#inner = inner;
    this.#box = box;
    this.#outward = opens ? "forward" : "backward";
  }

  watch(epoll: Epoll, tag: number): number {
    return this.#inner.watch(epoll, tag);
  }

  read(): ArrivedPacket | undefined {
    for (;;) {
      const bytes = this.#arrived.shift();
      if (bytes !== undefined) return { bytes, isVerified: false };
      const packet = this.#inner.read();
      if (packet === undefined || this.#box() === undefined) return packet;
      this.#pass(packet.bytes, opposite(this.#outward));
    }
  }

  write(packet: OutgoingPacket): void {
    if (this.#box() === undefined) this.#inner.write(packet);
    else this.#pass(emitTcpPacket(packet), this.#outward);
  }

  #pass(packet: Uint8Array, way: Direction): void {
    for (const passed of this.#box()?.onPacket(performance.now(), packet, way) ?? []) {
      if (passed.direction !== this.#outward) this.#arrived.push(passed.packet);
      else this.#send(passed.packet);
    }
  }

  #send(bytes: Uint8Array): void {
    const packet = parseTcpPacket(bytes);
    if (typeof packet === "string") throw new Error(`the box made a packet that is no TCP: ${packet}`);
    this.#inner.write({ ...packet, segmentBytes: packet.segment.payload.length });
  }

  close(): void {
    this.#inner.close();
  }
}
