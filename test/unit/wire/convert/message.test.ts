import { concatBytes, fromHex, toHex } from "@hybrid-access/core/base/bytes";
import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { SeededRandom } from "@hybrid-access/core/base/random";
import { ERROR_CODE, MAX_MESSAGE_BYTES } from "@hybrid-access/core/wire/convert/codes";
import {
  type ConvertMessage,
  emitConvertMessage,
  type ParseResult,
  padError,
  parseConvertMessage,
} from "@hybrid-access/core/wire/convert/message";
import type { Tlv } from "@hybrid-access/core/wire/convert/tlv";
import { expect } from "chai";
import fc from "fast-check";
import { type ConvertVerdict, judgeConvert } from "../../../support/convert-judge.ts";
import { mutatedMessage } from "../../../support/convert-mutations.ts";

/** More in a longer run: `CONVERT_MUTATIONS=1000000 npx mocha -g "mutated messages"`. */
const MUTATIONS = Number(process.env.CONVERT_MUTATIONS ?? 100_000);

/** Byte vectors worked out by hand from the figures of RFC 8803. */
const VECTORS: readonly { section: string; what: string; message: ConvertMessage; hex: string }[] = [
  { section: "6.1", what: "a header alone", message: [], hex: "01 01 2263" },
  { section: "6.2.3", what: "Info", message: [{ type: "info" }], hex: "01 02 2263  01 01 0000" },
  {
    section: "6.2.4",
    what: "Supported TCP Extensions: window scale, SACK, timestamps, Multipath TCP, Fast Open",
    message: [{ type: "supportedTcpExtensions", kinds: [3, 4, 8, 30, 34] }],
    hex: "01 04 2263  15 03 0000 0304081e 22000000",
  },
  {
    section: "6.2.5",
    what: "Connect to 192.0.2.1:443",
    message: [{ type: "connect", peer: { address: ipAddress("192.0.2.1"), port: 443 }, options: [] }],
    hex: "01 06 2263  0a 05 01bb 00000000 00000000 0000ffff c0000201",
  },
  {
    section: "6.2.5",
    what: "Connect to [2001:db8::1]:80 with a Fast Open option without value and an MPTCP one",
    message: [
      {
        type: "connect",
        peer: { address: ipAddress("2001:db8::1"), port: 80 },
        options: [
          { kind: 34, data: new Uint8Array() },
          { kind: 30, data: Uint8Array.of(0x01, 0x81) },
        ],
      },
    ],
    hex: "01 08 2263  0a 07 0050 20010db8 00000000 00000000 00000001  2202 1e04 0181 0000",
  },
  {
    section: "6.2.6",
    what: "Extended TCP Header: SACK permitted, window scale 7",
    message: [
      {
        type: "extendedTcpHeader",
        options: [
          { kind: 4, data: new Uint8Array() },
          { kind: 3, data: Uint8Array.of(7) },
        ],
      },
    ],
    hex: "01 04 2263  14 03 0000 0402 0303 07000000",
  },
  {
    section: "6.2.7",
    what: "Cookie",
    message: [{ type: "cookie", cookie: fromHex("0123456789abcdef") }],
    hex: "01 04 2263  16 03 0000 01234567 89abcdef",
  },
  {
    section: "6.2.8",
    what: "Error: Destination Unreachable with ICMP code 1",
    message: [{ type: "error", code: ERROR_CODE.destinationUnreachable, value: Uint8Array.of(1) }],
    hex: "01 02 2263  1e 01 61 01",
  },
  {
    section: "6.2.8",
    what: "Error: Missing Cookie with the cookie to use",
    message: [{ type: "error", code: ERROR_CODE.missingCookie, value: padError([0, 0xaa, 0xbb, 0xcc, 0xdd]) }],
    hex: "01 03 2263  1e 02 03 00 aabbccdd",
  },
  {
    section: "6.2.2",
    what: "the private Subflow Limit: three subflows",
    message: [{ type: "subflowLimit", subflows: 3 }],
    hex: "01 02 2263  c0 01 00 03",
  },
  {
    section: "6.2.2, private use",
    what: "Gateway Load: 42 percent",
    message: [{ type: "gatewayLoad", percent: 42 }],
    hex: "01 02 2263  c1 01 00 2a",
  },
];

const bytesOf = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const option = fc.record({ kind: fc.integer({ min: 2, max: 255 }), data: bytesOf(0, 20) });
const address = bytesOf(16, 16) as fc.Arbitrary<IpAddress>;

const TLVS: Record<Tlv["type"], fc.Arbitrary<Tlv>> = {
  info: fc.constant({ type: "info" }),
  connect: fc.record({
    type: fc.constant("connect" as const),
    peer: fc.record({ address, port: fc.integer({ min: 0, max: 65535 }) }),
    options: fc.array(option, { maxLength: 6 }),
  }),
  extendedTcpHeader: fc.record({
    type: fc.constant("extendedTcpHeader" as const),
    options: fc.array(option, { maxLength: 6 }),
  }),
  supportedTcpExtensions: fc.record({
    type: fc.constant("supportedTcpExtensions" as const),
    kinds: fc.array(fc.integer({ min: 3, max: 255 }), { maxLength: 40 }),
  }),
  cookie: bytesOf(1, 10).map((seed) => ({ type: "cookie" as const, cookie: concatBytes([seed, seed, seed, seed]) })),
  error: fc.record({
    type: fc.constant("error" as const),
    code: fc.constantFrom(...Object.values(ERROR_CODE)),
    value: bytesOf(0, 40).map((bytes) => padError(bytes)),
  }),
  subflowLimit: fc.record({
    type: fc.constant("subflowLimit" as const),
    subflows: fc.integer({ min: 1, max: 255 }),
  }),
  gatewayLoad: fc.record({ type: fc.constant("gatewayLoad" as const), percent: fc.integer({ min: 0, max: 100 }) }),
};

const message = fc
  .shuffledSubarray(Object.keys(TLVS) as Tlv["type"][])
  .chain((types) => fc.tuple(...types.map((type) => TLVS[type])));

describe("wire/convert", () => {
  for (const { section, what, message, hex } of VECTORS) {
    it(`RFC 8803 section ${section}: ${what} is these bytes, and these bytes are it`, () => {
      const bytes = fromHex(hex);
      expect(toHex(emitConvertMessage(message))).to.equal(toHex(bytes));
      expect(parseConvertMessage(bytes)).to.deep.equal({ outcome: "message", message, byteLength: bytes.length });
    });
  }

  it("parses what it emits, whatever follows it", () => {
    fc.assert(
      fc.property(message, bytesOf(0, 8), (tlvs, payload) => {
        const bytes = emitConvertMessage(tlvs);
        const result = parseConvertMessage(concatBytes([bytes, payload]));
        expect(result).to.deep.equal({ outcome: "message", message: tlvs, byteLength: bytes.length });
      }),
      { numRuns: 2000 },
    );
  });

  it("asks for more on every proper beginning of a message", () => {
    const bytes = emitConvertMessage(VECTORS.flatMap(({ what, message }) => (what === "Info" ? message : [])));
    for (let length = 0; length < bytes.length; length++) {
      expect(parseConvertMessage(bytes.subarray(0, length)).outcome).to.equal("incomplete");
    }
  });

  const BAD: readonly [string, string, string, number | undefined][] = [
    ["another protocol", "474554202f20485454502f312e310d0a", "foreign", undefined],
    ["version 2", "02 01 2263", "invalid", ERROR_CODE.unsupportedVersion],
    ["version 0", "00 01 2263", "invalid", ERROR_CODE.unsupportedVersion],
    ["Total Length 0", "01 00 2263", "invalid", ERROR_CODE.malformedMessage],
    ["a TLV of length 0", "01 02 2263 01 00 0000", "invalid", ERROR_CODE.malformedMessage],
    ["a TLV beyond Total Length", "01 02 2263 0a 05 01bb", "invalid", ERROR_CODE.malformedMessage],
    ["Connect without an address", "01 02 2263 0a 01 01bb", "invalid", ERROR_CODE.malformedMessage],
    ["two Info TLVs", "01 03 2263 01 01 0000 01 01 0000", "invalid", ERROR_CODE.malformedMessage],
    ["an unknown TLV", "01 02 2263 63 01 0000", "invalid", ERROR_CODE.unsupportedMessage],
    ["an unknown TLV of the private range", "01 02 2263 ff 01 0000", "invalid", ERROR_CODE.unsupportedMessage],
    ["a Subflow Limit of 0", "01 02 2263 c0 01 0000", "invalid", ERROR_CODE.malformedMessage],
    ["a Subflow Limit of two words", "01 03 2263 c0 02 0003 00000000", "invalid", ERROR_CODE.malformedMessage],
    [
      "a no-operation option in Connect",
      `01 07 2263 0a 06 0050 ${"00".repeat(10)}ffff c0000201 01010402`,
      "invalid",
      1,
    ],
  ];
  for (const [what, hex, outcome, code] of BAD) {
    it(`judges ${what}: ${outcome}${code === undefined ? "" : `, error ${code}`}`, () => {
      const result = parseConvertMessage(fromHex(hex));
      expect(result.outcome).to.equal(outcome);
      expect(result.outcome === "invalid" ? result.error.code : undefined).to.equal(code);
    });
  }

  it("echoes a malformed message word-aligned after one zero byte (section 6.2.8)", () => {
    const result = parseConvertMessage(fromHex("01 02 2263 01 00 0000"));
    if (result.outcome !== "invalid") throw new Error(result.outcome);
    expect(toHex(emitConvertMessage([result.error]))).to.equal("01042263" + "1e030100" + "0102226301000000");
  });

  it(`judges ${MUTATIONS} mutated messages as RFC 8803 does, each one, and every answer it gives can be sent`, function () {
    this.timeout(20_000 + MUTATIONS / 5);
    const random = new SeededRandom(8803);
    const tlvs = VECTORS.map(({ message }) => emitConvertMessage(message).subarray(4));
    const outcomes: Record<string, number> = {};
    for (let round = 0; round < MUTATIONS; round++) {
      const bytes = mutatedMessage(tlvs, random);
      const expected = judgeConvert(bytes);
      const result = parseConvertMessage(bytes);
      if (verdictOf(result) !== describeVerdict(expected)) {
        expect(verdictOf(result), `message ${round}: ${toHex(bytes)}`).to.equal(describeVerdict(expected));
      }
      if (result.outcome === "invalid") {
        expect(emitConvertMessage([result.error]).length).to.be.at.most(MAX_MESSAGE_BYTES);
      }
      const kind = expected.outcome === "error" ? `error ${expected.code}` : expected.outcome;
      outcomes[kind] = (outcomes[kind] ?? 0) + 1;
    }
    // Every outcome is really met, and not by chance alone.
    for (const kind of ["valid", "incomplete", "foreign", "error 0", "error 1", "error 2"]) {
      expect(outcomes[kind] ?? 0, kind).to.be.greaterThan(MUTATIONS / 200);
    }
  });
});

/** What the parser says, in the judge's terms. */
function verdictOf(result: ParseResult): string {
  if (result.outcome === "invalid") return `error ${result.error.code}`;
  return result.outcome === "message" ? `valid, ${result.byteLength} bytes` : result.outcome;
}

function describeVerdict(verdict: ConvertVerdict): string {
  if (verdict.outcome === "error") return `error ${verdict.code}`;
  return verdict.outcome === "valid" ? `valid, ${verdict.byteLength} bytes` : verdict.outcome;
}
