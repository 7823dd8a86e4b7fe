/** What middleboxes do, and what becomes of a connection: RFC 8684 section 3.7, RFC 8041 section 3.1. */
import { equalBytes } from "@hybrid-access/core/base/bytes";
import { sumWords } from "@hybrid-access/core/wire/checksum";
import { dssChecksum } from "@hybrid-access/core/wire/mptcp/dss-checksum";
import { RESET_REASON } from "@hybrid-access/core/wire/mptcp/options";
import type { SegmentOption } from "@hybrid-access/core/wire/tcp/options";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import type { SegmentLinkOptions } from "../segment-link.ts";
import { pattern } from "../tcp/tcp-pair.ts";
import { corrupt, split, stripMptcp, stripWhere } from "./middleboxes.ts";
import { MptcpPair, type MptcpPairOptions } from "./mptcp-pair.ts";

const isSyn = ({ flags }: TcpSegment) => (flags & TCP_FLAG.syn) !== 0;
const hasData = ({ payload }: TcpSegment) => payload.length > 0;

/** Sends 60,000 bytes up and 40,000 down over one path, and ends both. */
function exchange(
  options: Partial<MptcpPairOptions> & { up?: SegmentLinkOptions; down?: SegmentLinkOptions },
): MptcpPair {
  const { up = {}, down = {}, ...rest } = options;
  const pair = new MptcpPair({ paths: [{ up, down }], ...rest }).open();
  const [there, back] = [pattern(60_000), pattern(40_000, 9)];
  const offsets = { there: 0, back: 0 };
  pair.onStep = () => {
    const { client, server } = { client: pair.client.connection, server: pair.server.connection };
    offsets.there += client.write(there.subarray(offsets.there), pair.nowMs);
    if (offsets.there === there.length) client.shutdownWrite(pair.nowMs);
    if (!pair.server.saw("connected")) return;
    offsets.back += server.write(back.subarray(offsets.back), pair.nowMs);
    if (offsets.back === back.length) server.shutdownWrite(pair.nowMs);
  };
  expect(
    pair.run(() => pair.client.connection.isDone && pair.server.connection.isDone),
    "ends",
  ).to.equal(true);
  return pair;
}

function expectWhole(pair: MptcpPair): void {
  expect(equalBytes(pair.server.bytes, pattern(60_000))).to.equal(true);
  expect(equalBytes(pair.client.bytes, pattern(40_000, 9))).to.equal(true);
  expect([pair.client.connection.closeReason, pair.server.connection.closeReason]).to.deep.equal([
    "finished",
    "finished",
  ]);
}

function reasons(pair: MptcpPair): (string | undefined)[] {
  return [pair.client, pair.server].map((side) => side.eventOf("fallback")?.reason);
}

describe("stack/mptcp: middleboxes", () => {
  it("leave plain TCP where MP_CAPABLE is removed from the SYN, or from the SYN-ACK", () => {
    const syn = exchange({ up: { middlebox: stripWhere(isSyn) } });
    expectWhole(syn);
    expect(reasons(syn)).to.deep.equal(["handshake", "handshake"]);
    const answer = exchange({ down: { middlebox: stripWhere(isSyn) } });
    expectWhole(answer);
    expect(reasons(answer)).to.deep.equal(["handshake", "optionsRemoved"]);
  });

  it("leave plain TCP, whose end is told though nothing else comes", () => {
    const pair = new MptcpPair({ paths: [{ up: { middlebox: stripWhere(isSyn) } }] }).open();
    expect(pair.run(() => pair.server.saw("connected"))).to.equal(true);
    pair.client.connection.shutdownWrite(pair.nowMs);
    expect(pair.run(() => pair.server.saw("ended"))).to.equal(true);
    pair.server.connection.shutdownWrite(pair.nowMs);
    expect(pair.run(() => pair.client.saw("closed"))).to.equal(true);
    expect(pair.client.connection.closeReason).to.equal("finished");
  });

  it("leave plain TCP where SYNs with MP_CAPABLE are dropped, from the third SYN on", () => {
    const asksForMultipath = ({ options }: TcpSegment) => options.some(({ type }) => type === "capable");
    const pair = exchange({ up: { middlebox: (segment) => (asksForMultipath(segment) ? [] : [segment]) } });
    expectWhole(pair);
    expect(reasons(pair)).to.deep.equal(["synLost", "handshake"]);
    expect(pair.paths[0]?.up.sent.filter(isSyn).map(asksForMultipath)).to.deep.equal([true, true, false]);
  });

  it("leave plain TCP where they remove options behind the SYNs, in either direction or both", () => {
    const middlebox = stripWhere((segment) => !isSyn(segment));
    for (const links of [{ up: { middlebox } }, { down: { middlebox } }, { up: { middlebox }, down: { middlebox } }]) {
      const pair = exchange(links);
      expectWhole(pair);
      expect(pair.client.connection.isMultipath || pair.server.connection.isMultipath).to.equal(false);
    }
  });

  it("do not matter where only the third segment loses its keys, or is lost: the first data has them again (version 1)", () => {
    const lost = exchange({ up: { middlebox: (segment, index) => (index === 1 ? [] : [segment]) } });
    expectWhole(lost);
    expect(lost.client.connection.isMultipath && lost.server.connection.isMultipath).to.equal(true);
  });

  it("never corrupt a stream by removing options from the middle of it on", () => {
    for (let from = 2; from < 40; from += 3) {
      const pair = exchange({ up: { middlebox: stripWhere((segment, index) => index >= from && !isSyn(segment)) } });
      expect(equalBytes(pair.server.bytes, pattern(60_000).slice(0, pair.server.receivedBytes))).to.equal(true);
      if (pair.server.connection.closeReason === "finished") expect(pair.server.receivedBytes).to.equal(60_000);
    }
  });

  it("may split segments, with options on the first part, the second, or both", () => {
    for (const at of [1, 100, 700]) {
      for (const keep of ["first", "both"] as const) {
        const pair = exchange({ up: { middlebox: split(at, keep) } });
        expectWhole(pair);
        expect(pair.client.connection.isMultipath).to.equal(true);
      }
      const second = exchange({ up: { middlebox: split(at, "second") } });
      expect(equalBytes(second.server.bytes, pattern(60_000).slice(0, second.server.receivedBytes))).to.equal(true);
    }
  });

  it("may change sequence numbers, as a firewall does", () => {
    const shift = (by: number) => (segment: TcpSegment) => [{ ...segment, sequence: (segment.sequence + by) >>> 0 }];
    const back = (by: number) => (segment: TcpSegment) => [
      { ...segment, acknowledgment: (segment.acknowledgment - by) >>> 0, options: unshift(segment, by) },
    ];
    const pair = exchange({ up: { middlebox: shift(123_456_789) }, down: { middlebox: back(123_456_789) } });
    expectWhole(pair);
    expect(pair.client.connection.isMultipath).to.equal(true);
  });

  it("that change data are found out by checksums: alone a subflow goes on as plain TCP (MP_FAIL, infinite mapping)", () => {
    for (const number of [2, 5, 9]) {
      let seen = 0;
      const middlebox = corrupt((segment) => hasData(segment) && ++seen === number);
      const checksum = { checksum: true };
      const pair = exchange({ up: { middlebox }, client: checksum, server: checksum });
      expectWhole(pair);
      expect(reasons(pair)).to.deep.equal(["peer", "checksum"]);
      expect(pair.server.connection.parts.counters?.wrongChecksum).to.equal(1);
    }
  });

  it("that change data are found out by checksums: with another subflow it ends, and nothing is lost", () => {
    const checksum = { checksum: true };
    const link = { rateBitsPerSecond: 10e6, delayMs: 10 };
    const pair = new MptcpPair({ paths: [{ up: link }, { up: link }], client: checksum, server: checksum }).connect();
    pair.join(1);
    pair.joined(2);
    let seen = 0;
    pair.paths[1]?.up.configure({ ...link, middlebox: corrupt(() => ++seen > 20) });
    const data = pattern(2_000_000);
    let written = 0;
    pair.onStep = () => {
      if (written < data.length) written += pair.client.connection.write(data.subarray(written), pair.nowMs);
    };
    expect(pair.run(() => pair.server.receivedBytes === data.length, 30_000)).to.equal(true);
    expect(equalBytes(pair.server.bytes, data)).to.equal(true);
    expect(pair.server.eventOf("subflowClosed")?.subflow).to.equal(1);
    expect(pair.client.connection.isMultipath).to.equal(true);
  });

  it("and attackers that map the same bytes to another place are found out: counted, and the subflow is reset", () => {
    let seen = 0;
    const elsewhere = (option: SegmentOption): SegmentOption =>
      option.type === "dss" && option.mapping !== undefined
        ? {
            ...option,
            mapping: { ...option.mapping, sequence: { octets: 8, value: option.mapping.sequence.value + 1n } },
          }
        : option;
    const middlebox = (segment: TcpSegment) => {
      if (!hasData(segment)) return [segment];
      seen += 1;
      // What waits behind a gap is mapped once more.
      if (seen === 3) return [];
      return seen === 5 ? [segment, { ...segment, options: segment.options.map(elsewhere) }] : [segment];
    };
    const pair = new MptcpPair({ paths: [{ up: { middlebox } }] }).connect();
    pair.client.connection.write(pattern(60_000), pair.nowMs);
    pair.run(() => pair.server.saw("subflowClosed"), 5000);
    expect(pair.server.connection.parts.counters?.conflictingMapping).to.equal(1);
    expect(pair.server.eventOf("subflowClosed")?.reason).to.equal("aborted");
    const reset = pair.paths[0]?.down.sent.find(({ flags }) => (flags & TCP_FLAG.rst) !== 0);
    expect(reset?.options).to.deep.equal([{ type: "reset", transient: false, reason: RESET_REASON.multipathError }]);
    expect(equalBytes(pair.server.bytes, pattern(60_000).slice(0, pair.server.receivedBytes))).to.equal(true);
  });

  it("are no reason to ask for checksums: one side that wants them is enough", () => {
    for (const side of ["client", "server"] as const) {
      const pair = exchange({ [side]: { checksum: true } });
      expectWhole(pair);
      const mapped = pair.paths[0]?.up.sent.flatMap(({ options }) =>
        options.flatMap((one) => (one.type === "dss" && one.mapping ? [one.mapping] : [])),
      );
      expect(mapped?.every(({ checksum }) => checksum !== undefined)).to.equal(true);
    }
  });

  it("and peers that say the end of the stream with their last data (Linux does) are understood, with checksums too", () => {
    for (const checksum of [false, true]) {
      let ends = 0;
      const middlebox = (segment: TcpSegment) => {
        const options = segment.options.map((option) => withEnd(option, segment.payload, 60_000));
        if (options.some(endsWithData)) ends += 1;
        return [{ ...segment, options }];
      };
      const pair = exchange({ up: { middlebox }, client: { checksum } });
      expectWhole(pair);
      expect(ends).to.be.greaterThan(0);
      expect(pair.server.connection.parts.counters?.wrongChecksum ?? 0).to.equal(0);
      expect([pair.client, pair.server].every(({ connection }) => connection.isMultipath)).to.equal(true);
    }
  });

  it("with data in the SYN (Fast Open) stay Multipath TCP, whether the server takes the data or not", () => {
    for (const takeData of [true, false]) {
      for (const checksum of [false, true]) {
        const pair = new MptcpPair({
          paths: [{}],
          client: { checksum },
          open: { dataInSyn: true, fastOpenCookie: new Uint8Array(8) },
          accept: { takeData },
        });
        pair.open(pattern(500));
        expect(pair.run(() => pair.server.receivedBytes === 500, 5000)).to.equal(true);
        expect(pair.nowMs).to.equal(takeData ? 1010 : 1030);
        pair.server.connection.write(pattern(3000, 4), pair.nowMs);
        pair.client.connection.write(pattern(3000, 5), pair.nowMs);
        expect(pair.run(() => pair.client.receivedBytes === 3000 && pair.server.receivedBytes === 3500, 5000)).to.equal(
          true,
        );
        expect(pair.client.connection.isMultipath && pair.server.connection.isMultipath).to.equal(true);
        expect(equalBytes(pair.client.bytes, pattern(3000, 4))).to.equal(true);
      }
    }
  });

  it("let a server answer the data of a SYN before the third segment, also where that is lost", () => {
    for (const lost of [[], [1], [1, 2]]) {
      const middlebox = (segment: TcpSegment, index: number) => (lost.includes(index) ? [] : [segment]);
      const pair = new MptcpPair({
        paths: [{ up: { middlebox } }],
        open: { dataInSyn: true, fastOpenCookie: new Uint8Array(8) },
        accept: { takeData: true },
      });
      pair.open(pattern(500));
      pair.run(() => pair.server.receivedBytes === 500);
      pair.server.connection.write(pattern(3000, 4), pair.nowMs);
      expect(pair.run(() => pair.client.receivedBytes === 3000, 5000)).to.equal(true);
      expect(pair.nowMs).to.equal(1020);
      pair.client.connection.write(pattern(3000, 5), pair.nowMs);
      expect(pair.run(() => pair.server.receivedBytes === 3500, 5000)).to.equal(true);
      expect(pair.client.connection.isMultipath && pair.server.connection.isMultipath).to.equal(true);
      expect(equalBytes(pair.client.bytes, pattern(3000, 4))).to.equal(true);
    }
  });

  it("and peers that know version 0 only, or none, get plain TCP", () => {
    expect(stripMptcp).to.be.a("function");
    const pair = exchange({
      up: {
        middlebox: (segment) => [
          {
            ...segment,
            options: segment.options.map((one) =>
              one.type === "capable" && isSyn(segment) ? { ...one, flags: one.flags | 0x40 } : one,
            ),
          },
        ],
      },
    });
    expectWhole(pair);
  });
});

/** SACK blocks that a firewall which changes sequence numbers changes too. */
function unshift({ options }: TcpSegment, by: number): TcpSegment["options"] {
  return options.map((option) =>
    option.type === "sack"
      ? {
          ...option,
          blocks: option.blocks.map(({ left, right }) => ({ left: (left - by) >>> 0, right: (right - by) >>> 0 })),
        }
      : option,
  );
}

function endsWithData(option: SegmentOption): boolean {
  return option.type === "dss" && option.mapping !== undefined && option.mapping.dataFin && option.mapping.length > 1;
}

/** With DATA_FIN where the mapping is that of the stream's last bytes, all of which are the segment's. */
function withEnd(option: SegmentOption, payload: Uint8Array, streamBytes: number): SegmentOption {
  if (option.type !== "dss" || option.mapping === undefined || payload.length === 0) return option;
  const { sequence, subflowSequence, length, checksum } = option.mapping;
  if (subflowSequence + length !== 1 + streamBytes) return option;
  const ended = { sequence: sequence.value, subflowSequence, length: length + 1 };
  const sum = checksum === undefined ? {} : { checksum: dssChecksum(ended, sumWords(payload)) };
  return { ...option, mapping: { ...option.mapping, ...sum, length: length + 1, dataFin: true } };
}
