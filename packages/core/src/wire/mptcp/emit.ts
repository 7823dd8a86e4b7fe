/** Writes the options of Multipath TCP; `options.ts` has their layouts. */
import { writeUint16, writeUint32, writeUint64 } from "../../base/bytes.ts";
import { familyOf, type IpAddress, networkBytes } from "../../base/ip-address.ts";
import type { CapableOption, DataNumber, DssMapping, DssOption, MptcpOption } from "./options.ts";
import { MPTCP_SUBTYPE } from "./options.ts";
import { DSS_FLAG } from "./parse.ts";

const SUBTYPE: Readonly<Record<MptcpOption["type"], number>> = {
  capable: MPTCP_SUBTYPE.capable,
  joinSyn: MPTCP_SUBTYPE.join,
  joinSynAck: MPTCP_SUBTYPE.join,
  joinAck: MPTCP_SUBTYPE.join,
  dss: MPTCP_SUBTYPE.dss,
  addAddress: MPTCP_SUBTYPE.addAddress,
  addAddressV0: MPTCP_SUBTYPE.addAddress,
  removeAddress: MPTCP_SUBTYPE.removeAddress,
  priority: MPTCP_SUBTYPE.priority,
  fail: MPTCP_SUBTYPE.fail,
  fastClose: MPTCP_SUBTYPE.fastClose,
  reset: MPTCP_SUBTYPE.reset,
};

/** Lengths of the forms that have but one, Kind and Length included. */
const FIXED_BYTES: Partial<Record<MptcpOption["type"], number>> = {
  joinSyn: 12,
  joinSynAck: 16,
  joinAck: 24,
  fail: 12,
  fastClose: 12,
  reset: 4,
};

/** The option's length on the wire, Kind and Length included. */
export function mptcpOptionByteLength(option: MptcpOption): number {
  switch (option.type) {
    case "capable":
      return capableByteLength(option);
    case "dss":
      return 4 + (option.dataAck?.octets ?? 0) + mappingByteLength(option.mapping);
    case "addAddress":
      return addressByteLength(option) + (option.hmac === undefined ? 0 : 8);
    case "addAddressV0":
      return addressByteLength(option);
    case "removeAddress":
      return 3 + option.addressIds.length;
    case "priority":
      return option.addressId === undefined ? 3 : 4;
    default:
      return FIXED_BYTES[option.type] ?? 0;
  }
}

function capableByteLength({ senderKey, receiverKey, data }: CapableOption): number {
  const keys = (senderKey === undefined ? 0 : 8) + (receiverKey === undefined ? 0 : 8);
  return 4 + keys + (data === undefined ? 0 : data.checksum === undefined ? 2 : 4);
}

function mappingByteLength(mapping: DssMapping | undefined): number {
  return mapping === undefined ? 0 : mapping.sequence.octets + 6 + (mapping.checksum === undefined ? 0 : 2);
}

function addressByteLength({ address, port }: { readonly address: IpAddress; readonly port?: number }): number {
  return 4 + networkBytes(address).length + (port === undefined ? 0 : 2);
}

/** Writes what follows Kind and Length, which stand at `offset`; the room is {@link mptcpOptionByteLength}. */
export function emitMptcpOption(option: MptcpOption, into: Uint8Array, offset: number): void {
  into[offset + 2] = (SUBTYPE[option.type] << 4) | nibbleOf(option);
  const at = offset + 4;
  switch (option.type) {
    case "capable":
      return emitCapable(option, into, offset);
    case "joinSyn":
      into[offset + 3] = option.addressId;
      writeUint32(into, at, option.token);
      return writeUint32(into, at + 4, option.nonce);
    case "joinSynAck":
      into[offset + 3] = option.addressId;
      into.set(option.hmac, at);
      return writeUint32(into, at + 8, option.nonce);
    case "joinAck":
      into[offset + 3] = 0;
      return into.set(option.hmac, at);
    case "dss":
      return emitDss(option, into, offset);
    case "addAddress":
    case "addAddressV0":
      return emitAddress(option, into, offset);
    case "removeAddress":
      return into.set(option.addressIds, offset + 3);
    case "priority":
      if (option.addressId !== undefined) into[offset + 3] = option.addressId;
      return;
    case "fail":
      into[offset + 3] = 0;
      return writeUint64(into, at, option.sequence);
    case "fastClose":
      into[offset + 3] = 0;
      return into.set(option.receiverKey, at);
    case "reset":
      into[offset + 3] = option.reason;
  }
}

/** The four bits beside the subtype. */
function nibbleOf(option: MptcpOption): number {
  switch (option.type) {
    case "capable":
      return option.version;
    case "joinSyn":
    case "joinSynAck":
    case "priority":
      return option.backup ? 1 : 0;
    case "addAddress":
      return option.hmac === undefined ? 1 : 0;
    case "addAddressV0":
      return familyOf(option.address) === "ipv4" ? 4 : 6;
    case "reset":
      return option.transient ? 1 : 0;
    default:
      return 0;
  }
}

function emitCapable({ flags, senderKey, receiverKey, data }: CapableOption, into: Uint8Array, offset: number): void {
  into[offset + 3] = flags;
  if (senderKey !== undefined) into.set(senderKey, offset + 4);
  if (receiverKey !== undefined) into.set(receiverKey, offset + 12);
  if (data !== undefined) writeUint16(into, offset + 20, data.length);
  if (data?.checksum !== undefined) writeUint16(into, offset + 22, data.checksum);
}

function emitDss({ dataAck, mapping }: DssOption, into: Uint8Array, offset: number): void {
  into[offset + 3] = dssFlags({ dataAck, mapping });
  let at = offset + 4;
  if (dataAck !== undefined) at = emitDataNumber(dataAck, into, at);
  if (mapping === undefined) return;
  at = emitDataNumber(mapping.sequence, into, at);
  writeUint32(into, at, mapping.subflowSequence);
  writeUint16(into, at + 4, mapping.length);
  if (mapping.checksum !== undefined) writeUint16(into, at + 6, mapping.checksum);
}

function dssFlags({ dataAck, mapping }: { dataAck: DataNumber | undefined; mapping: DssMapping | undefined }): number {
  return (
    (dataAck === undefined ? 0 : DSS_FLAG.ack) |
    (dataAck?.octets === 8 ? DSS_FLAG.longAck : 0) |
    (mapping === undefined ? 0 : DSS_FLAG.mapping) |
    (mapping?.sequence.octets === 8 ? DSS_FLAG.longSequence : 0) |
    (mapping?.dataFin ? DSS_FLAG.dataFin : 0)
  );
}

function emitDataNumber({ octets, value }: DataNumber, into: Uint8Array, at: number): number {
  if (octets === 8) writeUint64(into, at, value);
  else writeUint32(into, at, Number(BigInt.asUintN(32, value)));
  return at + octets;
}

interface SaidAddress {
  readonly addressId: number;
  readonly address: IpAddress;
  readonly port?: number;
  readonly hmac?: Uint8Array;
}

function emitAddress({ addressId, address, port, hmac }: SaidAddress, into: Uint8Array, offset: number): void {
  const bytes = networkBytes(address);
  into[offset + 3] = addressId;
  into.set(bytes, offset + 4);
  let at = offset + 4 + bytes.length;
  if (port !== undefined) {
    writeUint16(into, at, port);
    at += 2;
  }
  if (hmac !== undefined) into.set(hmac, at);
}
