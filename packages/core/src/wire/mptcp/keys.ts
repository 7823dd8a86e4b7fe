/**
 * What Multipath TCP derives from keys: token and initial data sequence number (RFC 8684 section 3.1), HMACs of MP_JOIN
 * (section 3.2) and of ADD_ADDR (section 3.4.1). Version 1 has SHA-256, version 0 (RFC 6824) SHA-1.
 */
import { concatBytes, readUint32, readUint64, writeUint16, writeUint32 } from "../../base/bytes.ts";
import type { Hashes } from "../../base/hashes.ts";
import { type IpAddress, networkBytes } from "../../base/ip-address.ts";

export type MptcpVersion = 0 | 1;

export const KEY_BYTES = 8;
/** The SYN/ACK carries the leftmost bytes of its HMAC, ADD_ADDR the rightmost. */
const SHORT_HMAC_BYTES = 8;
const JOIN_ACK_HMAC_BYTES = 20;

/** What a key stands for. */
export interface KeyIdentity {
  /** The most significant 32 bits of the key's hash: names the connection in MP_JOIN. */
  readonly token: number;
  /** The least significant 64 bits: the number before that of the first byte its owner sends. */
  readonly initialDataSequence: bigint;
}

export function identityOfKey(hashes: Hashes, version: MptcpVersion, key: Uint8Array): KeyIdentity {
  const digest = version === 0 ? hashes.sha1(key) : hashes.sha256(key);
  return { token: readUint32(digest, 0), initialDataSequence: readUint64(digest, digest.length - 8) };
}

/** The keys of a connection and the nonces of a join, from the side of the HMAC's sender. */
export interface JoinSecrets {
  readonly senderKey: Uint8Array;
  readonly receiverKey: Uint8Array;
  readonly senderNonce: number;
  readonly receiverNonce: number;
}

/** The whole HMAC, of which each segment carries a part: key = sender's key and receiver's, message = nonces likewise. */
function joinHmac(hashes: Hashes, version: MptcpVersion, secrets: JoinSecrets): Uint8Array {
  const nonces = new Uint8Array(8);
  writeUint32(nonces, 0, secrets.senderNonce);
  writeUint32(nonces, 4, secrets.receiverNonce);
  const keys = concatBytes([secrets.senderKey, secrets.receiverKey]);
  return version === 0 ? hashes.hmacSha1(keys, nonces) : hashes.hmacSha256(keys, nonces);
}

/** HMAC of a join's SYN/ACK, sent by who was asked: the leftmost 8 bytes. */
export function joinSynAckHmac(hashes: Hashes, version: MptcpVersion, secrets: JoinSecrets): Uint8Array {
  return joinHmac(hashes, version, secrets).subarray(0, SHORT_HMAC_BYTES);
}

/** HMAC of a join's third ACK, sent by who has asked: the leftmost 20 bytes. */
export function joinAckHmac(hashes: Hashes, version: MptcpVersion, secrets: JoinSecrets): Uint8Array {
  return joinHmac(hashes, version, secrets).subarray(0, JOIN_ACK_HMAC_BYTES);
}

/** What an ADD_ADDR says. Without a port, zeros stand in the HMAC's message. */
export interface AnnouncedAddress {
  readonly addressId: number;
  readonly address: IpAddress;
  readonly port?: number;
}

/** HMAC of version 1's ADD_ADDR, the rightmost 8 bytes: key = sender's key and receiver's. */
export function addAddressHmac(
  hashes: Hashes,
  senderKey: Uint8Array,
  receiverKey: Uint8Array,
  { addressId, address, port = 0 }: AnnouncedAddress,
): Uint8Array {
  const bytes = networkBytes(address);
  const message = new Uint8Array(1 + bytes.length + 2);
  message[0] = addressId;
  message.set(bytes, 1);
  writeUint16(message, 1 + bytes.length, port);
  const hmac = hashes.hmacSha256(concatBytes([senderKey, receiverKey]), message);
  return hmac.subarray(hmac.length - SHORT_HMAC_BYTES);
}
