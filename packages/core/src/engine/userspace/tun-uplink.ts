/** An uplink of the userspace engine: a TUN device whose addresses belong to this process, not to the kernel. */
import type { IpAddress } from "../../base/ip-address.ts";
import { EPOLL, type Epoll } from "../../platform/epoll.ts";
import { numericAddress } from "../../platform/libc.ts";
import { readPacketAt, writePacketAt } from "../../platform/tun.ts";
import type { OutgoingPacket } from "../../stack/outgoing-packet.ts";
import { ipHeaderBytes } from "../../wire/ip-packet.ts";
import { emitTcpPacketInto } from "../../wire/tcp/packet.ts";
import { destinationBytes, translateDestination } from "../../wire/translate-destination.ts";
import { emitVirtioHeader, isChecksumSettled, VIRTIO_HEADER_BYTES } from "../../wire/virtio-header.ts";
import { AddressMap, type MappedAddress, ownAddresses } from "./address-map.ts";
import { TunDevice } from "./tun-device.ts";
import type { ArrivedPacket, Uplink } from "./uplink.ts";

/** One queue of a device that somebody else has made, and will close. */
export interface TunQueue {
  /** Of the interface. */
  readonly name: string;
  readonly descriptor: number;
  /**
   * The kernel cuts large segments and completes checksums, and gives segments as large as it has them. Whoever sends
   * some sets `bulkBytes` of the transport's settings.
   */
  readonly offloads: boolean;
  readonly addresses: readonly MappedAddress[];
}

export interface TunUplinkOptions {
  readonly name: string;
  /** What the host's kernel routes to the interface; none of them may be an address of the kernel's own. */
  readonly addresses: readonly IpAddress[];
  readonly offloads?: boolean;
}

/** With the header of a device with offloads. */
const LARGEST_PACKET_BYTES = 65_535 + VIRTIO_HEADER_BYTES;
/** Packets lie in blocks one behind the other, because the transport keeps views of them. */
const BLOCK_BYTES = 4 * LARGEST_PACKET_BYTES;

export class TunUplink implements Uplink {
  readonly name: string;
  /** Packets that the kernel did not take. */
  refusedPackets = 0;
  readonly #descriptor: number;
  readonly #headerBytes: number;
  readonly #onClose: () => void;
  #map: AddressMap;
  #block = new Uint8Array(BLOCK_BYTES);
  #blockAddress = numericAddress(this.#block);
  #used = 0;
  readonly #out = new Uint8Array(LARGEST_PACKET_BYTES);
  readonly #outAddress = numericAddress(this.#out);

  constructor({ name, descriptor, offloads, addresses }: TunQueue, onClose = () => {}) {
    this.name = name;
    this.#descriptor = descriptor;
    this.#headerBytes = offloads ? VIRTIO_HEADER_BYTES : 0;
    this.#map = new AddressMap(addresses);
    this.#onClose = onClose;
  }

  /** Makes the interface, with its routes, which lives as long as the uplink. Throws a SystemError. */
  static open({ name, addresses, offloads = false }: TunUplinkOptions): TunUplink {
    const device = new TunDevice({ name, offloads, queues: 1 });
    try {
      device.routeHere(addresses);
    } catch (error) {
      device.close();
      throw error;
    }
    const [descriptor = -1] = device.descriptors;
    const queue = { name, descriptor, offloads, addresses: ownAddresses(addresses) };
    return new TunUplink(queue, () => device.close());
  }

  get addresses(): readonly IpAddress[] {
    return this.#map.addresses;
  }

  setAddresses(addresses: readonly MappedAddress[]): void {
    this.#map = new AddressMap(addresses);
  }

  watch(epoll: Epoll, tag: number): number {
    return epoll.add(this.#descriptor, EPOLL.in, tag);
  }

  read(): ArrivedPacket | undefined {
    if (this.#used + LARGEST_PACKET_BYTES > BLOCK_BYTES) this.#renewBlock();
    const length = readPacketAt(this.#descriptor, this.#blockAddress + this.#used, LARGEST_PACKET_BYTES);
    if (length < this.#headerBytes || length <= 0) return undefined;
    const read = this.#block.subarray(this.#used, this.#used + length);
    // Words at even addresses are summed up faster.
    this.#used += (length + 3) & ~3;
    const bytes = read.subarray(this.#headerBytes);
    const behind = this.#map.behind(destinationBytes(bytes) ?? NOTHING);
    if (behind !== undefined) translateDestination(bytes, behind);
    return { bytes, isVerified: this.#headerBytes > 0 && isChecksumSettled(read) };
  }

  #renewBlock(): void {
    this.#block = new Uint8Array(BLOCK_BYTES);
    this.#blockAddress = numericAddress(this.#block);
    this.#used = 0;
  }

  /** The kernel routes the packet on. */
  write(outgoing: OutgoingPacket): void {
    const packet = this.#fromInside(outgoing);
    const offloads = this.#headerBytes > 0;
    const end = emitTcpPacketInto(packet, this.#out, this.#headerBytes, offloads ? "partial" : "complete");
    // Whoever makes a segment knows the room for options.
    if (typeof end !== "number") {
      throw new RangeError(`options without room: ${end.withoutRoom.map(({ type }) => type)}`);
    }
    if (offloads) this.#requestSegmentation(packet, end - this.#headerBytes);
    if (writePacketAt(this.#descriptor, this.#outAddress, end) < 0) this.refusedPackets += 1;
  }

  #fromInside(packet: OutgoingPacket): OutgoingPacket {
    const source = this.#map.insideOf(packet.ip.source);
    return source === packet.ip.source ? packet : { ...packet, ip: { ...packet.ip, source } };
  }

  #requestSegmentation({ ip, segment, segmentBytes }: OutgoingPacket, packetBytes: number): void {
    const { family } = ip;
    const headerBytes = packetBytes - segment.payload.length;
    const transportAt = ipHeaderBytes(ip);
    emitVirtioHeader({ family, transportAt, headerBytes, packetBytes, segmentBytes }, this.#out, 0);
  }

  close(): void {
    this.#onClose();
  }
}

const NOTHING = new Uint8Array();
