import { fromHex, readUint16, writeUint16 } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import {
  adjustChecksum,
  checksumOfSum,
  foldSum,
  isSound,
  pseudoHeaderSum,
  sumWords,
} from "@hybrid-access/core/wire/checksum";
import { expect } from "chai";
import fc from "fast-check";

describe("wire/checksum", () => {
  it("sums up the example of RFC 1071 section 3", () => {
    const sum = sumWords(fromHex("0001 f203 f4f5 f6f7"));
    expect(foldSum(sum)).to.equal(0xddf2);
    expect(checksumOfSum(sum)).to.equal(0x220d);
  });

  it("pads an odd last byte on the right (RFC 1071 section 1)", () => {
    expect(sumWords(fromHex("0102 03"))).to.equal(0x0102 + 0x0300);
    expect(sumWords(fromHex("ffff 0102 03 ffff"), 2, 5)).to.equal(0x0102 + 0x0300);
  });

  it("gives the same sum for long arrays as for their parts, wherever they begin in memory", () => {
    const memory = new Uint8Array(70_000).map((_, index) => (index * 2_654_435_761) >>> 13);
    for (const [offset, length] of [0, 1, 2, 3].flatMap((at) =>
      [255, 256, 257, 258, 259, 1460, 65_535].map((n) => [at, n] as const),
    )) {
      const bytes = memory.subarray(offset, offset + length);
      let parts = 0;
      for (let at = 0; at < length; at += 100) parts += sumWords(bytes, at, Math.min(at + 100, length));
      expect(foldSum(sumWords(bytes)), `${offset} ${length}`).to.equal(foldSum(parts));
      expect(foldSum(sumWords(memory, offset, offset + length))).to.equal(foldSum(parts));
    }
  });

  it("adjusts the example of RFC 1624 section 4, where the older equation gives 0xffff", () => {
    expect(adjustChecksum(0xdd2f, 0x5555, 0x3285)).to.equal(0x0000);
  });

  it("finds any change of one word, and adjusts to the same as summing again", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4, maxLength: 80 }), fc.nat(), fc.nat(0xffff), (bytes, place, word) => {
        const at = 2 + 2 * (place % (Math.floor(bytes.length / 2) - 1));
        writeUint16(bytes, 0, 0);
        writeUint16(bytes, 0, checksumOfSum(sumWords(bytes)));
        expect(isSound(sumWords(bytes))).to.equal(true);
        const before = readUint16(bytes, at);
        writeUint16(bytes, at, word);
        // Where all words are zero there is no telling the forms of zero apart: no packet is that.
        fc.pre(bytes.subarray(2).some((byte) => byte !== 0));
        // Zero has two forms in one's complement: 0x0000 and 0xffff.
        expect(isSound(sumWords(bytes))).to.equal(word % 0xffff === before % 0xffff);
        writeUint16(bytes, 0, adjustChecksum(readUint16(bytes, 0), before, word));
        expect(isSound(sumWords(bytes))).to.equal(true);
      }),
    );
  });

  it("sums up what RFC 9293 section 3.1 and RFC 8200 section 8.1 put before a segment", () => {
    const four = fromHex("c0000201 c6336402 00 06 0014");
    expect(foldSum(pseudoHeaderSum(ipAddress("192.0.2.1"), ipAddress("198.51.100.2"), 6, 20))).to.equal(
      foldSum(sumWords(four)),
    );
    const six = fromHex("20010db8000000000000000000000001 20010db8000000000000000000000002 00010014 000000 06");
    expect(foldSum(pseudoHeaderSum(ipAddress("2001:db8::1"), ipAddress("2001:db8::2"), 6, 0x10014))).to.equal(
      foldSum(sumWords(six)),
    );
  });
});
