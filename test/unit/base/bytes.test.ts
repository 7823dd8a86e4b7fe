import {
  concatBytes,
  equalBytes,
  fromHex,
  readUint16,
  readUint32,
  toHex,
  writeUint16,
  writeUint32,
} from "@hybrid-access/core/base/bytes";
import { expect } from "chai";
import fc from "fast-check";

describe("base/bytes", () => {
  it("writes integers in network byte order", () => {
    const bytes = new Uint8Array(8);
    writeUint16(bytes, 1, 0x0102);
    writeUint32(bytes, 3, 0xfffefdfc);
    expect(toHex(bytes)).to.equal("000102fffefdfc00");
  });

  it("reads every integer that it writes", () => {
    fc.assert(
      fc.property(fc.nat(0xffff), fc.integer({ min: 0, max: 0xffffffff }), (small, large) => {
        const bytes = new Uint8Array(6);
        writeUint16(bytes, 0, small);
        writeUint32(bytes, 2, large);
        expect([readUint16(bytes, 0), readUint32(bytes, 2)]).to.deep.equal([small, large]);
      }),
    );
  });

  it("reads every hexadecimal text that it writes, with white space or without", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => equalBytes(fromHex(toHex(bytes)), bytes)));
    expect(fromHex(" 00 ff\n10")).to.deep.equal(Uint8Array.of(0, 255, 16));
  });

  it("joins and compares", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (parts) => {
        const joined = concatBytes(parts);
        expect(Array.from(joined)).to.deep.equal(parts.flatMap((part) => Array.from(part)));
        expect(equalBytes(joined, Uint8Array.from(joined))).to.equal(true);
        expect(equalBytes(joined, concatBytes([joined, Uint8Array.of(0)]))).to.equal(false);
        if (joined.length > 0)
          expect(
            equalBytes(
              joined,
              joined.map((byte, at) => (at === 0 ? byte ^ 1 : byte)),
            ),
          ).to.equal(false);
      }),
    );
  });
});
