/** Options of Multipath TCP as text, in the manner of tcpdump. */
import { toHex } from "../../base/bytes.ts";
import { formatEndpoint, formatIpAddress, type IpAddress } from "../../base/ip-address.ts";
import type { CapableOption, DataNumber, DssOption, MptcpOption } from "./options.ts";

export function describeMptcpOption(option: MptcpOption): string {
  switch (option.type) {
    case "capable":
      return describeCapable(option);
    case "joinSyn":
      return `mptcp join${backup(option)} id ${option.addressId} token ${hex32(option.token)} nonce ${hex32(option.nonce)}`;
    case "joinSynAck":
      return `mptcp join${backup(option)} id ${option.addressId} hmac ${toHex(option.hmac)} nonce ${hex32(option.nonce)}`;
    case "joinAck":
      return `mptcp join hmac ${toHex(option.hmac)}`;
    case "dss":
      return describeDss(option);
    case "addAddress":
      return `mptcp add-addr ${describeAddress(option)}${option.hmac === undefined ? " echo" : ` hmac ${toHex(option.hmac)}`}`;
    case "addAddressV0":
      return `mptcp add-addr v0 ${describeAddress(option)}`;
    case "removeAddress":
      return `mptcp rem-addr id ${option.addressIds.join(",")}`;
    case "priority":
      return `mptcp prio${backup(option)}${option.addressId === undefined ? "" : ` id ${option.addressId}`}`;
    case "fail":
      return `mptcp fail seq ${option.sequence}`;
    case "fastClose":
      return `mptcp fast-close key ${toHex(option.receiverKey)}`;
    case "reset":
      return `mptcp reset${option.transient ? " transient" : ""} reason ${option.reason}`;
  }
}

function backup(option: { readonly backup: boolean }): string {
  return option.backup ? " backup" : "";
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}

function describeCapable({ version, flags, senderKey, receiverKey, data }: CapableOption): string {
  const keys = [senderKey, receiverKey].flatMap((key) => (key === undefined ? [] : [toHex(key)]));
  const checksum = data?.checksum === undefined ? "" : ` csum ${data.checksum.toString(16)}`;
  return [
    `mptcp capable v${version} flags 0x${flags.toString(16)}`,
    ...(keys.length === 0 ? [] : [`{${keys.join(",")}}`]),
    ...(data === undefined ? [] : [`len ${data.length}${checksum}`]),
  ].join(" ");
}

function describeDss({ dataAck, mapping }: DssOption): string {
  return [
    `mptcp dss${mapping?.dataFin ? " fin" : ""}`,
    ...(dataAck === undefined ? [] : [`ack ${describeNumber(dataAck)}`]),
    ...(mapping === undefined
      ? []
      : [`seq ${describeNumber(mapping.sequence)} subseq ${mapping.subflowSequence} len ${mapping.length}`]),
    ...(mapping?.checksum === undefined ? [] : [`csum ${mapping.checksum.toString(16)}`]),
  ].join(" ");
}

/** Of 32 bits the rest is not known. */
function describeNumber({ octets, value }: DataNumber): string {
  return octets === 8 ? `${value}` : `${value}/32`;
}

interface Said {
  readonly addressId: number;
  readonly address: IpAddress;
  readonly port?: number;
}

function describeAddress({ addressId, address, port }: Said): string {
  return `id ${addressId} ${port === undefined ? formatIpAddress(address) : formatEndpoint({ address, port })}`;
}
