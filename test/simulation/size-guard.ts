/** A host's stack whose packets are watched: none may be larger than the host was told that its paths carry. */
import type { PacketEndpoint } from "@hybrid-access/core/stack/endpoint";
import { describePacket } from "@hybrid-access/core/wire/tcp/describe";

export class SizeGuard implements PacketEndpoint {
  readonly #inner: PacketEndpoint;
  readonly #mtuBytes: number;
  #fault: string | undefined;

  constructor(inner: PacketEndpoint, mtuBytes: number) {
    this.#inner = inner;
    this.#mtuBytes = mtuBytes;
  }

  /** The first packet that was too large. */
  get fault(): string | undefined {
    return this.#fault;
  }

  onPacket(nowMs: number, packet: Uint8Array): void {
    this.#inner.onPacket(nowMs, packet);
  }

  onTimeout(nowMs: number): void {
    this.#inner.onTimeout(nowMs);
  }

  pollTransmit(nowMs: number): Uint8Array | undefined {
    const packet = this.#inner.pollTransmit(nowMs);
    if (packet !== undefined && packet.length > this.#mtuBytes) this.#fault ??= this.#describe(packet);
    return packet;
  }

  #describe(packet: Uint8Array): string {
    return `a packet of ${packet.length} bytes for paths that carry ${this.#mtuBytes}: ${describePacket(packet)}`;
  }

  pollTimeout(): number | undefined {
    return this.#inner.pollTimeout();
  }
}
