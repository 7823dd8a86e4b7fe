/**
 * The header in front of every packet of a TUN device with offloads: struct virtio_net_hdr (Virtio 1.2 section 5.1.6),
 * in the host's order of bytes, which here is little-endian.
 *
 * flags(8), gso_type(8), hdr_len(16), gso_size(16), csum_start(16), csum_offset(16).
 */

export const VIRTIO_HEADER_BYTES = 10;

const FLAG = { needsChecksum: 1, checksumIsGood: 2 } as const;
const GSO = { none: 0, tcpIpv4: 1, tcpIpv6: 4 } as const;

/** Whether the packet's TCP checksum is sound as far as the kernel knows, or was left out: then nobody needs to look at it. */
export function isChecksumSettled(header: Uint8Array): boolean {
  return ((header[0] ?? 0) & (FLAG.needsChecksum | FLAG.checksumIsGood)) !== 0;
}

/** What the kernel is to do with a TCP packet whose checksum is the sum of its pseudo header alone. */
export interface SegmentationRequest {
  readonly family: "ipv4" | "ipv6";
  /** Where TCP's header begins, and how long both headers are. */
  readonly transportAt: number;
  readonly headerBytes: number;
  /** The whole packet, and the payload that each packet on the wire may have. */
  readonly packetBytes: number;
  readonly segmentBytes: number;
}

/** Where in TCP's header the checksum stands. */
const CHECKSUM_OFFSET = 16;

/** Writes the header at `offset`, with room for {@link VIRTIO_HEADER_BYTES}. */
export function emitVirtioHeader(request: SegmentationRequest, into: Uint8Array, offset: number): void {
  const { family, transportAt, headerBytes, packetBytes, segmentBytes } = request;
  const cuts = packetBytes - headerBytes > segmentBytes;
  const gso = family === "ipv4" ? GSO.tcpIpv4 : GSO.tcpIpv6;
  into[offset] = FLAG.needsChecksum;
  into[offset + 1] = cuts ? gso : GSO.none;
  writeLittleEndian(into, offset + 2, cuts ? headerBytes : 0);
  writeLittleEndian(into, offset + 4, cuts ? segmentBytes : 0);
  writeLittleEndian(into, offset + 6, transportAt);
  writeLittleEndian(into, offset + 8, CHECKSUM_OFFSET);
}

function writeLittleEndian(into: Uint8Array, offset: number, value: number): void {
  into[offset] = value & 0xff;
  into[offset + 1] = value >>> 8;
}
