import { fromHex, toHex } from "@hybrid-access/core/base/bytes";
import {
  emitTcpOptions,
  parseTcpOptions,
  TCP_OPTION,
  type TcpOption,
  tcpOptionsByteLength,
} from "@hybrid-access/core/wire/tcp-options";
import { expect } from "chai";
import fc from "fast-check";

const OPTION: fc.Arbitrary<TcpOption> = fc.record({
  kind: fc.integer({ min: 2, max: 255 }),
  data: fc.uint8Array({ maxLength: 253 }),
});

function emitted(options: readonly TcpOption[]): Uint8Array {
  const bytes = new Uint8Array(tcpOptionsByteLength(options));
  emitTcpOptions(options, bytes, 0);
  return bytes;
}

describe("wire/tcp-options", () => {
  it("reads back what it writes, padded to whole words", () => {
    fc.assert(
      fc.property(fc.array(OPTION, { maxLength: 8 }), (options) => {
        const bytes = emitted(options);
        expect(bytes.length % 4).to.equal(0);
        expect(parseTcpOptions(bytes)).to.deep.equal(options);
      }),
    );
  });

  it("reads a SYN of Linux (RFC 9293 section 3.1): MSS, SACK permitted, timestamps, no-operation, window scale", () => {
    const bytes = fromHex("020405b4 0402 080a 00000001 00000000 01 030307");
    expect(parseTcpOptions(bytes)?.map(({ kind, data }) => [kind, toHex(data)])).to.deep.equal([
      [TCP_OPTION.maximumSegmentSize, "05b4"],
      [TCP_OPTION.sackPermitted, ""],
      [TCP_OPTION.timestamps, "0000000100000000"],
      [TCP_OPTION.windowScale, "07"],
    ]);
  });

  it("stops at the end of the list", () => {
    expect(parseTcpOptions(fromHex("030307 00 ffff"))).to.have.length(1);
  });

  it("refuses a length that does not fit", () => {
    for (const hex of ["0300", "0301", "02", "020405", "01 03 04 07"]) {
      expect(parseTcpOptions(fromHex(hex)), hex).to.equal(undefined);
    }
  });

  it("never throws on bytes from the network", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        for (const { kind, data } of parseTcpOptions(bytes) ?? []) {
          expect(kind).to.be.within(2, 255);
          expect(data.length).to.be.at.most(bytes.length - 2);
        }
      }),
    );
  });

  it("writes at an offset and says where it ended, before the padding", () => {
    const bytes = new Uint8Array(10).fill(0xee);
    expect(emitTcpOptions([{ kind: 3, data: Uint8Array.of(7) }], bytes, 2)).to.equal(5);
    expect(toHex(bytes)).to.equal("eeee030307eeeeeeeeee");
  });
});
