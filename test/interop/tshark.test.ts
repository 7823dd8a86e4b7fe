import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { concatBytes, fromHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { PLATFORM_HASHES } from "@hybrid-access/core/platform/hashes";
import type { IpHeader } from "@hybrid-access/core/wire/ip-packet";
import { identityOfKey, joinAckHmac, joinSynAckHmac } from "@hybrid-access/core/wire/mptcp/keys";
import { pcapngHeader, pcapngPacket } from "@hybrid-access/core/wire/pcapng";
import type { SegmentOption } from "@hybrid-access/core/wire/tcp/options";
import { emitTcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { OPTION_VECTORS } from "../unit/wire/option-vectors.ts";
import { fieldsOf, OPTION_FIELDS } from "./option-fields.ts";
import { proofsOf } from "./proofs.ts";
import { dissect, faults, KEY_MISMATCH } from "./tshark.ts";

const IPV4: IpHeader = {
  family: "ipv4",
  source: ipAddress("192.0.2.1"),
  destination: ipAddress("198.51.100.2"),
  protocol: 6,
  trafficClass: 0,
  hopLimit: 64,
  identification: 7,
  dontFragment: true,
};
const IPV6: IpHeader = {
  family: "ipv6",
  source: ipAddress("2001:db8::1"),
  destination: ipAddress("2001:db8::2"),
  protocol: 6,
  trafficClass: 0,
  hopLimit: 64,
  flowLabel: 7,
};

/** The other direction of the same path. */
function reversed(ip: IpHeader): IpHeader {
  return { ...ip, source: ip.destination, destination: ip.source };
}

function segment(fields: Partial<TcpSegment>): TcpSegment {
  return {
    sourcePort: 40_000,
    destinationPort: 443,
    sequence: 1000,
    acknowledgment: 2000,
    flags: TCP_FLAG.ack,
    window: 512,
    urgentPointer: 0,
    options: [],
    payload: new Uint8Array(),
    ...fields,
  };
}

const KEY_A = fromHex("0102030405060708");
const KEY_B = fromHex("1112131415161718");
const NONCE_A = 0x01020304;
const NONCE_B = 0xf1f2f3f4;

/** The three segments of a handshake, from `ip`'s side and port; the options of each. */
function handshake(ip: IpHeader, sourcePort: number, options: readonly SegmentOption[][]): Uint8Array[] {
  const to = { sourcePort, destinationPort: 443 };
  const fro = { sourcePort: 443, destinationPort: sourcePort };
  const none = { acknowledgment: 0, flags: TCP_FLAG.syn };
  const [syn = [], synAck = [], ack = []] = options;
  return [
    emitTcpPacket({ ip, segment: segment({ ...to, ...none, sequence: 999, options: syn }) }),
    emitTcpPacket({
      ip: reversed(ip),
      segment: segment({
        ...fro,
        flags: TCP_FLAG.syn | TCP_FLAG.ack,
        sequence: 1999,
        acknowledgment: 1000,
        options: synAck,
      }),
    }),
    emitTcpPacket({ ip, segment: segment({ ...to, options: ack }) }),
  ];
}

/** A connection of version 1 over IPv4 and its second subflow over IPv6, with real keys, token and HMACs. */
function connectionWithJoin(): Uint8Array[] {
  const [flags, version] = [1, 1] as const;
  const { token } = identityOfKey(PLATFORM_HASHES, version, KEY_B);
  const fromA = { senderKey: KEY_A, receiverKey: KEY_B, senderNonce: NONCE_A, receiverNonce: NONCE_B };
  const fromB = { senderKey: KEY_B, receiverKey: KEY_A, senderNonce: NONCE_B, receiverNonce: NONCE_A };
  return [
    ...handshake(IPV4, 40_000, [
      [{ type: "capable", version, flags }],
      [{ type: "capable", version, flags, senderKey: KEY_B }],
      [{ type: "capable", version, flags, senderKey: KEY_A, receiverKey: KEY_B }],
    ]),
    ...handshake(IPV6, 40_001, [
      [{ type: "joinSyn", backup: false, addressId: 2, token, nonce: NONCE_A }],
      [
        {
          type: "joinSynAck",
          backup: false,
          addressId: 0,
          hmac: joinSynAckHmac(PLATFORM_HASHES, version, fromB),
          nonce: NONCE_B,
        },
      ],
      [{ type: "joinAck", hmac: joinAckHmac(PLATFORM_HASHES, version, fromA) }],
    ]),
  ];
}

describe("tshark reads what wire/ writes", function () {
  this.timeout(60_000);
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "hybrid-access-tshark-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** A capture of these packets, a millisecond apart. */
  function capture(packets: readonly Uint8Array[]): string {
    const file = join(folder, "capture.pcapng");
    const blocks = packets.map((packet, index) => pcapngPacket(packet, { timeMs: index }));
    writeFileSync(file, concatBytes([pcapngHeader(), ...blocks]));
    return file;
  }

  it("finds no fault with any option, in IPv4 and IPv6, and reads the same values out of it", () => {
    const cases = OPTION_VECTORS.flatMap((vector) => [IPV4, IPV6].map((ip) => ({ ...vector, ip })));
    const file = capture(
      cases.map(({ option, ip }, index) =>
        emitTcpPacket({ ip, segment: segment({ sourcePort: 1024 + index, ...flagsFor(option), options: [option] }) }),
      ),
    );
    expect(faults(file)).to.deep.equal([]);
    const packets = dissect(file, ["tcp.checksum.status", "tcp.options", ...OPTION_FIELDS]);
    expect(packets).to.have.length(cases.length);
    for (const [index, { what, option, hex }] of cases.entries()) {
      const bytes = hex.replaceAll(" ", "");
      const padding = "01".repeat(-(bytes.length / 2) & 3);
      const expected = { "tcp.checksum.status": "1", "tcp.options": `${padding}${bytes}`, ...fieldsOf(option) };
      expect(packets[index], what).to.include(expected);
    }
  });

  it("would find fault: with a wrong checksum, and with an option that is cut short", () => {
    const sound = emitTcpPacket({ ip: IPV4, segment: segment({ payload: fromHex("00") }) });
    const wrong = sound.with(sound.length - 1, 1);
    const options: SegmentOption[] = [{ type: "unknown", kind: 30, data: fromHex("01") }];
    const short = emitTcpPacket({ ip: IPV4, segment: segment({ options }) });
    expect(faults(capture([sound, wrong, short])).map((line) => line.split("\t")[0])).to.deep.equal(["2", "3"]);
  });

  it("finds the token of a connection in its join, and the keys that belong together", () => {
    const file = capture(connectionWithJoin());
    expect(faults(file, [KEY_MISMATCH])).to.deep.equal([]);
    expect(proofsOf(file)).to.deep.equal({ tokens: 1, hmacs: 2, wrong: [] });
    const token = String(identityOfKey(PLATFORM_HASHES, 1, KEY_B).token);
    const packets = dissect(file, ["mptcp.stream", "mptcp.expected_token", "tcp.options.mptcp.recvtok", "tcp.stream"]);
    // A SYN of version 1 has no key, which is what tshark knows connections by.
    expect(packets.map((each) => each["mptcp.stream"])).to.deep.equal(["", "0", "0", "0", "0", "0"]);
    expect(packets.map((each) => each["tcp.stream"])).to.deep.equal(["0", "0", "0", "1", "1", "1"]);
    expect(packets[1]?.["mptcp.expected_token"]).to.equal(token);
    expect(packets[3]?.["tcp.options.mptcp.recvtok"]).to.equal(token);
  });

  it("reads interfaces, nanoseconds and comments of a capture", () => {
    const file = join(folder, "names.pcapng");
    const packet = emitTcpPacket({ ip: IPV4, segment: segment({}) });
    const timeMs = Date.parse("2026-11-25T01:02:03.004Z");
    writeFileSync(
      file,
      concatBytes([
        pcapngHeader({ interfaces: ["dsl", "lte"], comment: "seed 7" }),
        pcapngPacket(packet, { timeMs: timeMs + 0.25, interface: 1, comment: "verloren: größer als die MTU 🛰" }),
        pcapngPacket(packet, { timeMs: 0.000001, comment: "x".repeat(70_000) }),
      ]),
    );
    const fields = ["frame.interface_name", "frame.time_epoch", "frame.comment"];
    expect(dissect(file, fields)).to.deep.equal([
      {
        "frame.interface_name": "lte",
        "frame.time_epoch": `${timeMs / 1000}`.replace(/\.004$/, ".004250000"),
        "frame.comment": "verloren: größer als die MTU 🛰",
      },
      { "frame.interface_name": "dsl", "frame.time_epoch": "0.000000001", "frame.comment": "x".repeat(65_535) },
    ]);
  });
});

/** An option stands where the RFC puts it: some belong to SYNs, and tshark reads MP_JOIN by the flags. */
function flagsFor(option: SegmentOption): Partial<TcpSegment> {
  const onSyn = ["maximumSegmentSize", "windowScale", "sackPermitted", "fastOpen", "joinSyn"].includes(option.type);
  const isKeyless = option.type === "capable" && option.senderKey === undefined;
  if (onSyn || isKeyless) return { flags: TCP_FLAG.syn, acknowledgment: 0 };
  const isAnswer = option.type === "joinSynAck" || (option.type === "capable" && option.receiverKey === undefined);
  return isAnswer ? { flags: TCP_FLAG.syn | TCP_FLAG.ack } : {};
}
