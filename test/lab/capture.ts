/** Reads what Lab.capture() has written: pcapng (draft-ietf-opsawg-pcapng) as wire/pcapng.ts makes it. */

const ENHANCED_PACKET = 6;
/** Type and length, interface, time (two words), captured and original length. */
const HEADER_BYTES = 28;

/** The packets of a capture, each from its IP header on, in their order. */
export function readPcapng(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const packets: Uint8Array[] = [];
  for (let offset = 0; offset + 12 <= file.length; offset += view.getUint32(offset + 4, true)) {
    if (view.getUint32(offset, true) !== ENHANCED_PACKET) continue;
    const length = view.getUint32(offset + 20, true);
    packets.push(file.subarray(offset + HEADER_BYTES, offset + HEADER_BYTES + length));
  }
  return packets;
}
