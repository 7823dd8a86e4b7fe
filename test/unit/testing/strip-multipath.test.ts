import { readUint16 } from "@hybrid-access/core/base/bytes";
import { stripMultipath } from "@hybrid-access/core/testing/strip-multipath";
import { parseTcpOptions, type TcpOption } from "@hybrid-access/core/wire/tcp-options";
import { expect } from "chai";
import fc from "fast-check";
import { forgeSyn, MP_CAPABLE, PLAIN_OPTIONS } from "../../lab/forged-syn.ts";

const SYN = {
  from: "10.1.1.2",
  fromPort: 40_000,
  to: "10.9.9.9",
  toPort: 5124,
  sequence: 0x12345678,
  payload: new TextEncoder().encode("first bytes"),
};
/** Odd lengths put what follows at odd offsets, where a byte is the other half of a checksum's word. */
const ODD: TcpOption = { kind: 253, data: Uint8Array.of(7) };

/** What RFC 9293 section 3.1 sums: pseudo header and segment. 0xffff when the checksum is right. */
function tcpSum(packet: Uint8Array): number {
  const tcp = packet.subarray(20);
  const padded = Uint8Array.from([...packet.subarray(12, 20), 0, 6, tcp.length >> 8, tcp.length & 0xff, ...tcp, 0]);
  let total = 0;
  for (let at = 0; at + 1 < padded.length; at += 2) total += readUint16(padded, at);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

function optionsOf(packet: Uint8Array): TcpOption[] | undefined {
  return parseTcpOptions(packet.subarray(40, 20 + 4 * ((packet[32] ?? 0) >> 4)));
}

describe("testing/strip-multipath", () => {
  it("takes Multipath TCP out of a SYN wherever it stands, and keeps everything else and the checksum", () => {
    const option = fc.constantFrom(...PLAIN_OPTIONS, MP_CAPABLE, ODD);
    fc.assert(
      fc.property(fc.array(option, { maxLength: 8 }), (options) => {
        const packet = forgeSyn({ ...SYN, options });
        const before = packet.slice();
        expect(tcpSum(packet)).to.equal(0xffff);
        expect(stripMultipath(packet)).to.equal(options.includes(MP_CAPABLE));
        expect(tcpSum(packet)).to.equal(0xffff);
        expect(optionsOf(packet)).to.deep.equal(options.filter((each) => each !== MP_CAPABLE));
        expect(packet.length).to.equal(before.length);
        if (!options.includes(MP_CAPABLE)) expect(packet).to.deep.equal(before);
      }),
    );
  });

  it("leaves segments without SYN, other protocols and broken packets alone", () => {
    const packet = forgeSyn({ ...SYN, options: [MP_CAPABLE] });
    const acknowledgement = packet.slice();
    acknowledgement[33] = 0x10;
    const udp = packet.slice();
    udp[9] = 17;
    for (const other of [acknowledgement, udp, packet.slice(0, 30), new Uint8Array()]) {
      const before = other.slice();
      expect(stripMultipath(other)).to.equal(false);
      expect(other).to.deep.equal(before);
    }
  });
});
