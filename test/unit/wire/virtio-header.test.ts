import { emitVirtioHeader, isChecksumSettled, VIRTIO_HEADER_BYTES } from "@hybrid-access/core/wire/virtio-header";
import { expect } from "chai";

describe("wire/virtio-header", () => {
  const request = {
    family: "ipv4",
    transportAt: 20,
    headerBytes: 52,
    packetBytes: 52 + 3000,
    segmentBytes: 1428,
  } as const;

  it("asks for segments of TCP and for their checksums", () => {
    const bytes = new Uint8Array(VIRTIO_HEADER_BYTES + 2);
    emitVirtioHeader(request, bytes, 1);
    // 52 = 0x34, 1428 = 0x0594, TCP begins at 20, its checksum stands at 16.
    expect([...bytes]).to.deep.equal([0, 1, 1, 0x34, 0, 0x94, 0x05, 20, 0, 16, 0, 0]);
  });

  it("asks for the checksum alone where one segment carries all", () => {
    const bytes = new Uint8Array(VIRTIO_HEADER_BYTES);
    emitVirtioHeader({ ...request, family: "ipv6", transportAt: 40, packetBytes: 52 + 1428 }, bytes, 0);
    expect([...bytes]).to.deep.equal([1, 0, 0, 0, 0, 0, 40, 0, 16, 0]);
  });

  it("knows segments of IPv6 from those of IPv4", () => {
    const bytes = new Uint8Array(VIRTIO_HEADER_BYTES);
    emitVirtioHeader({ ...request, family: "ipv6" }, bytes, 0);
    expect(bytes[1]).to.equal(4);
  });

  it("tells whether the kernel vouches for a checksum", () => {
    for (const [flags, settled] of [
      [0, false],
      [1, true],
      [2, true],
      [4, false],
    ] as const) {
      expect(isChecksumSettled(Uint8Array.of(flags, 0, 0, 0, 0, 0, 0, 0, 0, 0)), `flags ${flags}`).to.equal(settled);
    }
  });
});
