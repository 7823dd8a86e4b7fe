import { fromHex } from "@hybrid-access/core/base/bytes";
import { formatEndpoint } from "@hybrid-access/core/base/ip-address";
import { decodeConnection, decodeSubflow } from "@hybrid-access/core/platform/netlink/socket-diagnostics";
import { expect } from "chai";
import fc from "fast-check";

/** The kernel's answer (Linux 6.18) for a connection from fd11::1 to itself that had sent 3000 bytes and received 250. */
const SUBFLOW = fromHex(`
  0a0100009a081404fd110000000000000000000000000001fd11000000000000000000000000000100000000f7a500000000000000000000
  00000000000000000000000025791300050008000000000008000f00000000000c001500010000000000000006001600120000001c010200
  010000000007aa00e01c0300409c0000008a0000180200000000000000000000000000000000000000000000640000000000000030000000
  3000000000000100c4ff0000150000000d000000ffffff7f0d000000b8ff00000300000000000000c4ff000000000000b2e549c707000000
  ffffffffffffffffb90b000000000000fa00000000000000060000000500000000000000050000000100000003000000008024a501000000
  0000000000000000000000000000000000000000000000000400000000000000b80b00000000000000000000000000000000000000000000
  0000000000140100000001000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
  680013000a0001006d707463700000005800030008000100000000000800020016c3c4c308000800c3000000050009000000000005000a00
  0000000008000300b90b00000c000400a7454c490c2ac1630800050001000000080006007177313306000700fa000000
`);
const CONNECTION = fromHex(`
  0a0100009a081404fd110000000000000000000000000001fd11000000000000000000000000000100000000f9a500000000000000000000
  3a040000000000000000000025791300050008000000000008000f00000000000c0015000100000000000000060016001200000064000200
  00000002000000000200000016c3c4c37670e0dc87b639497670e0dc87b63949a1464c490c2ac16300000000000000000000000000000000
  b80b000000000000fa00000000000000b80b000000000000010000006c0000003800000038000000
`);

describe("socket diagnostics", () => {
  it("reads a subflow", () => {
    const { local, remote, ...rest } = decodeSubflow(SUBFLOW) ?? expect.fail();
    expect([formatEndpoint(local), formatEndpoint(remote)]).to.deep.equal(["[fd11::1]:39432", "[fd11::1]:5124"]);
    expect(rest).to.include({
      state: "ESTABLISHED",
      token: 0xc3c4c316,
      localId: 0,
      remoteId: 0,
      backup: false,
      rttMs: 0.021,
      leastRttMs: 0.005,
      congestionWindow: 13,
      bytesSent: 3000,
      // The SYN counts as one.
      bytesAcknowledged: 3001,
      bytesReceived: 250,
      dataSegmentsSent: 3,
      dataSegmentsReceived: 1,
      segmentsRetransmitted: 0,
      unacknowledged: 0,
    });
  });

  it("reads a connection", () => {
    expect(decodeConnection(CONNECTION)).to.include({
      token: 0xc3c4c316,
      fallback: false,
      bytesSent: 3000,
      bytesAcknowledged: 3000,
      bytesReceived: 250,
    });
  });

  it("takes what an older kernel does not write as 0", () => {
    const infoAt = 72 + 8 + 8 + 12 + 8; // behind 4 attributes
    const older = SUBFLOW.slice();
    // tcp_info of 160 bytes: delivery rate, bytes sent and what follows are behind its end.
    const rest = older.slice(infoAt + 4 + 280);
    new DataView(older.buffer).setUint16(infoAt, 164, true);
    older.set(rest, infoAt + 164);
    const decoded = decodeSubflow(older.subarray(0, infoAt + 164 + rest.length));
    expect(decoded).to.include({ token: 0xc3c4c316, bytesReceived: 250, bytesSent: 0, segmentsOutOfOrder: 0 });
  });

  it("gives nothing for a message cut anywhere before its last attribute, and never throws", () => {
    fc.assert(
      fc.property(fc.nat(SUBFLOW.length - 116), (length) => {
        expect(decodeSubflow(SUBFLOW.subarray(0, length))).to.equal(undefined);
        expect(decodeConnection(CONNECTION.subarray(0, Math.min(length, 200)))).to.equal(undefined);
      }),
    );
  });

  it("never throws, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(SUBFLOW.length - 1), fc.nat(255), (noise, at, byte) => {
        decodeSubflow(noise);
        decodeConnection(noise);
        const changed = SUBFLOW.slice();
        changed[at] = byte;
        decodeSubflow(changed);
        decodeConnection(changed);
      }),
    );
  });
});
