/** What tshark must read out of an option, by its names of fields, given what we have written. */
import { readUint64, toHex } from "@hybrid-access/core/base/bytes";
import { formatIpAddress, type IpAddress, isIpv4 } from "@hybrid-access/core/base/ip-address";
import { MPTCP_SUBTYPE, type MptcpOption } from "@hybrid-access/core/wire/mptcp/options";
import type { SegmentOption } from "@hybrid-access/core/wire/tcp/options";

type Fields = Readonly<Record<string, string>>;

const MPTCP = "tcp.options.mptcp";

/** Every field that {@link fieldsOf} may name. */
export const OPTION_FIELDS: readonly string[] = [
  "tcp.options.mss_val",
  "tcp.options.wscale.shift",
  "tcp.options.sack_le",
  "tcp.options.sack_re",
  "tcp.options.timestamp.tsval",
  "tcp.options.timestamp.tsecr",
  "tcp.options.tfo.request",
  "tcp.options.tfo.cookie",
  ...["subtype", "version", "flags", "sendkey", "recvkey", "datalvllen", "addrid", "recvtok", "sendrand"],
  ...["sendtrunchmac", "sendhmac", "rawdataack", "rawdataseqno", "subflowseqno", "datafin.flag", "backup.flag"],
  ...["ipv4", "ipv6", "port", "echo", "addaddrtrunchmac", "flag_T.flag", "rst_reason"],
].map((name) => (name.startsWith("tcp.") ? name : `${MPTCP}.${name}`));

export function fieldsOf(option: SegmentOption): Fields {
  switch (option.type) {
    case "maximumSegmentSize":
      return { "tcp.options.mss_val": `${option.bytes}` };
    case "windowScale":
      return { "tcp.options.wscale.shift": `${option.shift}` };
    case "sackPermitted":
    case "unknown":
      return {};
    case "sack":
      return {
        "tcp.options.sack_le": option.blocks.map(({ left }) => left).join(","),
        "tcp.options.sack_re": option.blocks.map(({ right }) => right).join(","),
      };
    case "timestamps":
      return {
        "tcp.options.timestamp.tsval": `${option.value}`,
        "tcp.options.timestamp.tsecr": `${option.echoReply}`,
      };
    case "fastOpen":
      return option.cookie.length === 0
        ? { "tcp.options.tfo.request": "1" }
        : { "tcp.options.tfo.cookie": toHex(option.cookie) };
    default:
      return multipathFields(option);
  }
}

/** Of those that are undefined, tshark must say nothing. */
function multipathFields(option: MptcpOption): Fields {
  const named = Object.entries(valuesOf(option)).map(([name, value]) => [`${MPTCP}.${name}`, shown(value)]);
  return Object.fromEntries(named);
}

type Value = number | bigint | boolean | string | Uint8Array | undefined;

/** tshark shows keys and short HMACs as 64-bit numbers. */
function shown(value: Value): string {
  if (value === undefined) return "";
  if (value instanceof Uint8Array) return value.length === 8 ? `${readUint64(value, 0)}` : toHex(value);
  return typeof value === "boolean" ? `${Number(value)}` : `${value}`;
}

function valuesOf(option: MptcpOption): Readonly<Record<string, Value>> {
  switch (option.type) {
    case "capable":
      return {
        subtype: MPTCP_SUBTYPE.capable,
        version: option.version,
        flags: `0x${option.flags.toString(16).padStart(2, "0")}`,
        sendkey: option.senderKey,
        recvkey: option.receiverKey,
        datalvllen: option.data?.length,
      };
    case "joinSyn": {
      const { backup, addressId, token, nonce } = option;
      return { subtype: MPTCP_SUBTYPE.join, "backup.flag": backup, addrid: addressId, recvtok: token, sendrand: nonce };
    }
    case "joinSynAck": {
      const { backup, addressId, hmac, nonce } = option;
      return {
        subtype: MPTCP_SUBTYPE.join,
        "backup.flag": backup,
        addrid: addressId,
        sendtrunchmac: hmac,
        sendrand: nonce,
      };
    }
    case "joinAck":
      return { subtype: MPTCP_SUBTYPE.join, sendhmac: option.hmac };
    case "dss":
      return {
        subtype: MPTCP_SUBTYPE.dss,
        "datafin.flag": option.mapping?.dataFin ?? false,
        rawdataack: option.dataAck?.value,
        rawdataseqno: option.mapping?.sequence.value,
        subflowseqno: option.mapping?.subflowSequence,
        datalvllen: option.mapping?.length,
      };
    case "addAddress":
      return { ...addressValues(option), echo: option.hmac === undefined, addaddrtrunchmac: option.hmac };
    case "addAddressV0":
      return addressValues(option);
    case "removeAddress":
      return { subtype: MPTCP_SUBTYPE.removeAddress, addrid: option.addressIds.join(",") };
    case "priority":
      return { subtype: MPTCP_SUBTYPE.priority, "backup.flag": option.backup, addrid: option.addressId };
    case "fail":
      return { subtype: MPTCP_SUBTYPE.fail, rawdataseqno: option.sequence };
    case "fastClose":
      return { subtype: MPTCP_SUBTYPE.fastClose, recvkey: option.receiverKey };
    case "reset":
      return {
        subtype: MPTCP_SUBTYPE.reset,
        "flag_T.flag": option.transient,
        rst_reason: `0x${option.reason.toString(16).padStart(2, "0")}`,
      };
  }
}

interface Said {
  readonly addressId: number;
  readonly address: IpAddress;
  readonly port?: number;
}

function addressValues({ addressId, address, port }: Said): Readonly<Record<string, Value>> {
  const family = isIpv4(address) ? "ipv4" : "ipv6";
  return { subtype: MPTCP_SUBTYPE.addAddress, addrid: addressId, [family]: formatIpAddress(address), port };
}
