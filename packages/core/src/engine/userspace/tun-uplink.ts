/** An uplink of the userspace engine: a TUN device whose addresses belong to this process, not to the kernel. */
import { familyOf, type IpAddress } from "../../base/ip-address.ts";
import { EPOLL, type Epoll } from "../../platform/epoll.ts";
import { libc, numericAddress } from "../../platform/libc.ts";
import { RouteClient, RT_TABLE_MAIN } from "../../platform/netlink/route.ts";
import { setInterfaceUp } from "../../platform/network-interface.ts";
import { closeDescriptor } from "../../platform/socket.ts";
import { openTun, readPacketAt, writePacketAt } from "../../platform/tun.ts";
import type { OutgoingPacket } from "../../stack/host.ts";
import { ipHeaderBytes } from "../../wire/ip-packet.ts";
import { emitTcpPacketInto } from "../../wire/tcp/packet.ts";
import { emitVirtioHeader, isChecksumSettled, VIRTIO_HEADER_BYTES } from "../../wire/virtio-header.ts";
import type { ArrivedPacket, Uplink } from "./uplink.ts";

export interface TunUplinkOptions {
  /** Of the interface, which is made. */
  readonly name: string;
  /** What the host's kernel routes to the interface; none of them may be an address of the kernel's own. */
  readonly addresses: readonly IpAddress[];
  /**
   * The kernel cuts large segments and completes checksums, and gives segments as large as it has them. Whoever sends
   * some sets `bulkBytes` of the transport's settings.
   */
  readonly offloads?: boolean;
}

/** With the header of a device with offloads. */
const LARGEST_PACKET_BYTES = 65_535 + VIRTIO_HEADER_BYTES;
/** Packets lie in blocks one behind the other, because the transport keeps views of them. */
const BLOCK_BYTES = 4 * LARGEST_PACKET_BYTES;

export class TunUplink implements Uplink {
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  readonly interfaceIndex: number;
  readonly descriptor: number;
  /** Packets that the kernel did not take. */
  refusedPackets = 0;
  readonly #headerBytes: number;
  #block = new Uint8Array(BLOCK_BYTES);
  #blockAddress = numericAddress(this.#block);
  #used = 0;
  readonly #out = new Uint8Array(LARGEST_PACKET_BYTES);
  readonly #outAddress = numericAddress(this.#out);

  /** Makes the interface in the calling thread's network namespace, with its routes. Throws a SystemError. */
  constructor({ name, addresses, offloads = false }: TunUplinkOptions) {
    this.name = name;
    this.addresses = addresses;
    this.#headerBytes = offloads ? VIRTIO_HEADER_BYTES : 0;
    this.descriptor = openTun(name, { offloads });
    try {
      setInterfaceUp(name, true);
      this.interfaceIndex = libc.if_nametoindex(name);
      routeTo(this.interfaceIndex, addresses);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  watch(epoll: Epoll, tag: number): number {
    return epoll.add(this.descriptor, EPOLL.in, tag);
  }

  read(): ArrivedPacket | undefined {
    if (this.#used + LARGEST_PACKET_BYTES > BLOCK_BYTES) this.#renewBlock();
    const length = readPacketAt(this.descriptor, this.#blockAddress + this.#used, LARGEST_PACKET_BYTES);
    if (length < this.#headerBytes || length <= 0) return undefined;
    const read = this.#block.subarray(this.#used, this.#used + length);
    // Words at even addresses are summed up faster.
    this.#used += (length + 3) & ~3;
    return { bytes: read.subarray(this.#headerBytes), isVerified: this.#headerBytes > 0 && isChecksumSettled(read) };
  }

  #renewBlock(): void {
    this.#block = new Uint8Array(BLOCK_BYTES);
    this.#blockAddress = numericAddress(this.#block);
    this.#used = 0;
  }

  /** The kernel routes the packet on. */
  write(packet: OutgoingPacket): void {
    const offloads = this.#headerBytes > 0;
    const end = emitTcpPacketInto(packet, this.#out, this.#headerBytes, offloads ? "partial" : "complete");
    // Whoever makes a segment knows the room for options.
    if (typeof end !== "number") {
      throw new RangeError(`options without room: ${end.withoutRoom.map(({ type }) => type)}`);
    }
    if (offloads) this.#requestSegmentation(packet, end - this.#headerBytes);
    if (writePacketAt(this.descriptor, this.#outAddress, end) < 0) this.refusedPackets += 1;
  }

  #requestSegmentation({ ip, segment, segmentBytes }: OutgoingPacket, packetBytes: number): void {
    const { family } = ip;
    const headerBytes = packetBytes - segment.payload.length;
    const transportAt = ipHeaderBytes(ip);
    emitVirtioHeader({ family, transportAt, headerBytes, packetBytes, segmentBytes }, this.#out, 0);
  }

  /** Ends the interface, and with it its routes. */
  close(): void {
    closeDescriptor(this.descriptor);
  }
}

function routeTo(interfaceIndex: number, addresses: readonly IpAddress[]): void {
  const client = new RouteClient();
  try {
    for (const destination of addresses) {
      const family = familyOf(destination);
      client.addRoute({ family, table: RT_TABLE_MAIN, kind: "unicast", interfaceIndex, destination });
    }
  } finally {
    client.close();
  }
}
