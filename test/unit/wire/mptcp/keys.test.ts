import { fromHex, toHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { PLATFORM_HASHES } from "@hybrid-access/core/platform/hashes";
import {
  addAddressHmac,
  identityOfKey,
  type JoinSecrets,
  joinAckHmac,
  joinSynAckHmac,
  type MptcpVersion,
} from "@hybrid-access/core/wire/mptcp/keys";
import { expect } from "chai";

const KEY_A = fromHex("0102030405060708");
const KEY_B = fromHex("1112131415161718");
const NONCE_A = 0x01020304;
const NONCE_B = 0xf1f2f3f4;

/** From the side of A, who joins, and of B, who is asked. */
const FROM_A: JoinSecrets = { senderKey: KEY_A, receiverKey: KEY_B, senderNonce: NONCE_A, receiverNonce: NONCE_B };
const FROM_B: JoinSecrets = { senderKey: KEY_B, receiverKey: KEY_A, senderNonce: NONCE_B, receiverNonce: NONCE_A };

/** Computed with another implementation: Python's hashlib and hmac. */
const VECTORS: readonly {
  version: MptcpVersion;
  section: string;
  token: number;
  initialDataSequence: bigint;
  synAck: string;
  ack: string;
}[] = [
  {
    version: 0,
    section: "RFC 6824 sections 3.1 and 3.2",
    token: 0x3383d918,
    initialDataSequence: 0x9e1ae42f702627a9n,
    synAck: "3b2b922322ad22ef",
    ack: "ae4b5ab12f44d5a25d9a8d72e5f78e60febc7c82",
  },
  {
    version: 1,
    section: "RFC 8684 sections 3.1 and 3.2",
    token: 0xccad45ac,
    initialDataSequence: 0x535beea38e087c8en,
    synAck: "a3d802dafddc4e26",
    ack: "efe158ff13d30dc58f86e73b98e95d431bec8b82",
  },
];

describe("wire/mptcp/keys", () => {
  for (const { version, section, token, initialDataSequence, synAck, ack } of VECTORS) {
    it(`${section}: token, initial data sequence number and HMACs of version ${version}`, () => {
      expect(identityOfKey(PLATFORM_HASHES, version, KEY_B)).to.deep.equal({ token, initialDataSequence });
      expect(toHex(joinSynAckHmac(PLATFORM_HASHES, version, FROM_B))).to.equal(synAck);
      expect(toHex(joinAckHmac(PLATFORM_HASHES, version, FROM_A))).to.equal(ack);
    });
  }

  it("RFC 8684 section 3.4.1: the HMAC of ADD_ADDR covers identifier, address and port, zero without one", () => {
    const hmac = (address: string, port?: number) =>
      toHex(
        addAddressHmac(PLATFORM_HASHES, KEY_A, KEY_B, {
          addressId: 3,
          address: ipAddress(address),
          ...(port !== undefined && { port }),
        }),
      );
    expect(hmac("192.0.2.1")).to.equal("485bedf7047526e4");
    expect(hmac("192.0.2.1", 5124)).to.equal("7984f4ac26b8faca");
    expect(hmac("2001:db8::1")).to.equal("4767f845dc847183");
    expect(hmac("2001:db8::1", 5124)).to.equal("1e891fde5adc63f4");
  });
});
