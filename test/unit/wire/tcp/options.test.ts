import { fromHex, toHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import {
  emitSegmentOptions,
  MOST_OPTION_BYTES,
  optionsWithoutRoom,
  parseSegmentOptions,
  type SegmentOption,
  segmentOptionsByteLength,
} from "@hybrid-access/core/wire/tcp/options";
import { expect } from "chai";
import fc from "fast-check";
import { segmentOptions } from "../arbitrary-packet.ts";
import { OPTION_VECTORS } from "../option-vectors.ts";

/** Of known kinds and subtypes, with a length or a content that neither version has. */
const MISSHAPEN = [
  "02 03 05",
  "03 04 0700",
  "04 03 00",
  "05 0b 000000010000000200",
  "05 02",
  "08 0b 000000010000000200",
  "22 03 00",
  "22 04 0000",
  "22 07 0000000000",
  "1e 02",
  "1e 03 01",
  "1e 04 00 81",
  "1e 16 00 01 0102030405060708 1112131415161718 0578",
  "1e 05 01 81 00",
  "1e 0d 10 05 fedcba98 01020304 00",
  "1e 05 20 00 00",
  "1e 04 20 01",
  "1e 08 20 00 00000000",
  "1e 08 20 03 00000000",
  "1e 0d 20 04 00000002 00000003 00",
  "1e 0f 20 04 00000002 00000003 0001 00",
  "1e 08 30 03 c0000201",
  "1e 08 36 03 c0000201",
  "1e 10 31 03 c0000201 a1a2a3a4a5a6a7a8",
  "1e 09 30 03 c0000201 00",
  "1e 03 40",
  "1e 05 50 00 00",
  "1e 0b 60 00 fedcba98765432",
  "1e 0d 70 00 1112131415161718 00",
  "1e 05 80 00 00",
  "1e 04 90 00",
  "1e 06 f0 0000 00",
];

function parse(bytes: Uint8Array): SegmentOption[] | undefined {
  return parseSegmentOptions(bytes, 0, bytes.length);
}

function emit(options: readonly SegmentOption[]): Uint8Array {
  const bytes = new Uint8Array(segmentOptionsByteLength(options));
  expect(emitSegmentOptions(options, bytes, 0)).to.equal(bytes.length);
  return bytes;
}

describe("wire/tcp/options", () => {
  for (const { section, what, option, hex } of OPTION_VECTORS) {
    it(`${section}: ${what} is these bytes, and these bytes are it`, () => {
      const bytes = fromHex(hex);
      expect(toHex(emit([option]))).to.equal(toHex(bytes));
      expect(parse(bytes)).to.deep.equal([option]);
    });
  }

  it("reads back what it writes, among no-operations and before an end of the list", () => {
    fc.assert(
      fc.property(segmentOptions, (options) => {
        const bytes = emit(options);
        expect(parse(bytes)).to.deep.equal(options);
        expect(parse(Uint8Array.from([1, 1, ...bytes, 1, 0, 2, 4]))).to.deep.equal(options);
      }),
      { numRuns: 2000 },
    );
  });

  it("keeps as unknown, byte for byte, what has a known kind and no form of it", () => {
    for (const hex of MISSHAPEN) {
      const bytes = fromHex(hex);
      const read = parse(bytes);
      expect(read, hex).to.deep.equal([{ type: "unknown", kind: bytes[0], data: bytes.slice(2) }]);
      expect(toHex(emit(read ?? []))).to.equal(toHex(bytes));
    }
  });

  it("ignores reserved bits, and flags of DSS that mean nothing without another", () => {
    expect(parse(fromHex("1e 03 5f"))).to.deep.equal([{ type: "priority", backup: true }]);
    expect(parse(fromHex("1e 04 8e 01"))).to.deep.equal([{ type: "reset", transient: false, reason: 1 }]);
    expect(parse(fromHex("1e 04 2f fa"))).to.deep.equal([{ type: "dss" }]);
    expect(parse(fromHex("1e 08 3f 03 c0000201"))).to.deep.equal([
      { type: "addAddress", addressId: 3, address: ipAddress("192.0.2.1") },
    ]);
  });

  it("refuses a list whose lengths do not lead to its end", () => {
    for (const hex of ["0300", "0301", "02", "020405", "01 03 04 07", "1e"])
      expect(parse(fromHex(hex))).to.equal(undefined);
  });

  it("never reads beyond the end it was given", () => {
    const bytes = fromHex("020405b4 080a0000000100000002");
    expect(parseSegmentOptions(bytes, 0, 3)).to.equal(undefined);
    expect(parseSegmentOptions(bytes, 0, 5)).to.equal(undefined);
    expect(parseSegmentOptions(bytes, 0, 4)).to.have.length(1);
  });

  it("names the options that find no room in 40 bytes, from the first of them on", () => {
    const timestamps: SegmentOption = { type: "timestamps", value: 1, echoReply: 2 };
    const dss = OPTION_VECTORS.find(({ what }) => what.startsWith("DSS with everything"))?.option as SegmentOption;
    const mss: SegmentOption = { type: "maximumSegmentSize", bytes: 1460 };
    expect(segmentOptionsByteLength([timestamps, dss])).to.equal(MOST_OPTION_BYTES - 2);
    expect(optionsWithoutRoom([timestamps, dss])).to.deep.equal([]);
    expect(optionsWithoutRoom([timestamps, dss, mss, { type: "sackPermitted" }])).to.deep.equal([
      mss,
      { type: "sackPermitted" },
    ]);
  });
});
