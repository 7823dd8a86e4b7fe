/** Reads the options of Multipath TCP; `options.ts` has their layouts. */
import { readUint16, readUint32, readUint64 } from "../../base/bytes.ts";
import { type IpAddress, ipAddressFromBytes } from "../../base/ip-address.ts";
import { type DataNumber, type DssMapping, MPTCP_SUBTYPE, type MptcpOption } from "./options.ts";

/** Reads a whole option, from Kind on, whose length is one of the form's. Undefined when the rest does not fit it. */
type Read = (option: Uint8Array) => MptcpOption | undefined;

/** The forms of each subtype: lengths in bytes, Kind and Length included, and who reads them. */
const FORMS: Readonly<Record<number, readonly { readonly lengths: readonly number[]; readonly read: Read }[]>> = {
  [MPTCP_SUBTYPE.capable]: [{ lengths: [4, 12, 20, 22, 24], read: readCapable }],
  [MPTCP_SUBTYPE.join]: [
    { lengths: [12], read: readJoinSyn },
    { lengths: [16], read: readJoinSynAck },
    { lengths: [24], read: (option) => ({ type: "joinAck", hmac: option.slice(4, 24) }) },
  ],
  [MPTCP_SUBTYPE.dss]: [{ lengths: range(4, 28), read: readDss }],
  [MPTCP_SUBTYPE.addAddress]: [
    { lengths: [8, 10, 20, 22], read: readUnauthenticatedAddress },
    { lengths: [16, 18, 28, 30], read: readAuthenticatedAddress },
  ],
  [MPTCP_SUBTYPE.removeAddress]: [
    {
      lengths: range(4, 40),
      read: (option) => ({ type: "removeAddress", addressIds: Array.from(option.subarray(3)) }),
    },
  ],
  [MPTCP_SUBTYPE.priority]: [
    { lengths: [3], read: (option) => ({ type: "priority", backup: lowBit(option) }) },
    { lengths: [4], read: (option) => ({ type: "priority", backup: lowBit(option), addressId: option[3] ?? 0 }) },
  ],
  [MPTCP_SUBTYPE.fail]: [{ lengths: [12], read: (option) => ({ type: "fail", sequence: readUint64(option, 4) }) }],
  [MPTCP_SUBTYPE.fastClose]: [
    { lengths: [12], read: (option) => ({ type: "fastClose", receiverKey: option.slice(4, 12) }) },
  ],
  [MPTCP_SUBTYPE.reset]: [
    { lengths: [4], read: (option) => ({ type: "reset", transient: lowBit(option), reason: option[3] ?? 0 }) },
  ],
};

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** Reads one option, from Kind on and as long as its Length says. Undefined for a form that neither version has. */
export function parseMptcpOption(option: Uint8Array): MptcpOption | undefined {
  const forms = FORMS[(option[2] ?? 0) >> 4];
  return forms?.find(({ lengths }) => lengths.includes(option.length))?.read(option);
}

/** The lowest bit beside the subtype: B, E or T. */
function lowBit(option: Uint8Array): boolean {
  return ((option[2] ?? 0) & 1) !== 0;
}

/** Of version 0, data never comes with the keys. */
function readCapable(option: Uint8Array): MptcpOption | undefined {
  const version = (option[2] ?? 0) & 15;
  const { length } = option;
  if (version === 0 && (length === 4 || length > 20)) return undefined;
  return {
    type: "capable",
    version,
    flags: option[3] ?? 0,
    ...(length >= 12 && { senderKey: option.slice(4, 12) }),
    ...(length >= 20 && { receiverKey: option.slice(12, 20) }),
    ...(length === 22 && { data: { length: readUint16(option, 20) } }),
    ...(length === 24 && { data: { length: readUint16(option, 20), checksum: readUint16(option, 22) } }),
  };
}

function readJoinSyn(option: Uint8Array): MptcpOption {
  const [token, nonce] = [readUint32(option, 4), readUint32(option, 8)];
  return { type: "joinSyn", backup: lowBit(option), addressId: option[3] ?? 0, token, nonce };
}

function readJoinSynAck(option: Uint8Array): MptcpOption {
  const [hmac, nonce] = [option.slice(4, 12), readUint32(option, 12)];
  return { type: "joinSynAck", backup: lowBit(option), addressId: option[3] ?? 0, hmac, nonce };
}

/** Flags of DSS, in its fourth byte. */
export const DSS_FLAG = { dataFin: 0x10, longSequence: 0x08, mapping: 0x04, longAck: 0x02, ack: 0x01 } as const;

/** Whether there is a checksum only the length says. */
function readDss(option: Uint8Array): MptcpOption | undefined {
  const flags = option[3] ?? 0;
  const ackOctets = (flags & DSS_FLAG.ack) === 0 ? 0 : (flags & DSS_FLAG.longAck) === 0 ? 4 : 8;
  const mappingAt = 4 + ackOctets;
  const dataAck = ackOctets === 0 ? undefined : readDataNumber(option, 4, ackOctets);
  if ((flags & DSS_FLAG.mapping) === 0) {
    return option.length === mappingAt ? { type: "dss", ...(dataAck && { dataAck }) } : undefined;
  }
  const mapping = readMapping(option, mappingAt, flags);
  return mapping && { type: "dss", ...(dataAck && { dataAck }), mapping };
}

function readMapping(option: Uint8Array, offset: number, flags: number): DssMapping | undefined {
  const octets = (flags & DSS_FLAG.longSequence) === 0 ? 4 : 8;
  const at = offset + octets;
  const hasChecksum = option.length === at + 8;
  if (option.length !== at + 6 && !hasChecksum) return undefined;
  return {
    sequence: readDataNumber(option, offset, octets),
    subflowSequence: readUint32(option, at),
    length: readUint16(option, at + 4),
    dataFin: (flags & DSS_FLAG.dataFin) !== 0,
    ...(hasChecksum && { checksum: readUint16(option, at + 6) }),
  };
}

function readDataNumber(option: Uint8Array, offset: number, octets: 4 | 8): DataNumber {
  return { octets, value: octets === 8 ? readUint64(option, offset) : BigInt(readUint32(option, offset)) };
}

const IPV4_ADDRESS_LENGTHS = [8, 10, 16, 18];

/** Behind the subtype stands the IP version in version 0, and the flag E in an echo of version 1. */
function readUnauthenticatedAddress(option: Uint8Array): MptcpOption | undefined {
  const said = readAddress(option, option.length);
  const isIpv4Form = IPV4_ADDRESS_LENGTHS.includes(option.length);
  if (lowBit(option)) return { type: "addAddress", ...said };
  return ((option[2] ?? 0) & 15) === (isIpv4Form ? 4 : 6) ? { type: "addAddressV0", ...said } : undefined;
}

/** Version 1: an echo has no HMAC. */
function readAuthenticatedAddress(option: Uint8Array): MptcpOption | undefined {
  if (lowBit(option)) return undefined;
  const hmacAt = option.length - 8;
  return { type: "addAddress", ...readAddress(option, hmacAt), hmac: option.slice(hmacAt) };
}

/** Address identifier, address, and a port when there is room for one before `end`. */
function readAddress(option: Uint8Array, end: number) {
  const portAt = IPV4_ADDRESS_LENGTHS.includes(option.length) ? 8 : 20;
  return {
    addressId: option[3] ?? 0,
    address: ipAddressFromBytes(option.subarray(4, portAt)) as IpAddress,
    ...(portAt < end && { port: readUint16(option, portAt) }),
  };
}
