/**
 * The TLVs of a Convert message (RFC 8803 sections 6.2.2 to 6.2.8): Type(8), Length(8, in 32-bit words, the first word
 * included), value, padded with zeros to a 32-bit boundary.
 */
import { equalBytes, readUint16, writeUint16 } from "../../base/bytes.ts";
import { type Endpoint, ipAddressFromBytes } from "../../base/ip-address.ts";
import { emitTcpOptions, parseTcpOptions, type TcpOption, tcpOptionsByteLength } from "../tcp-options.ts";
import { TLV_TYPE } from "./codes.ts";

export type Tlv =
  /** Section 6.2.3: asks for the extensions that the converter supports. */
  | { readonly type: "info" }
  /** Section 6.2.5: the destination, and options for the SYN toward it. */
  | { readonly type: "connect"; readonly peer: Endpoint; readonly options: readonly TcpOption[] }
  /** Section 6.2.6: options of the server's SYN+ACK. */
  | { readonly type: "extendedTcpHeader"; readonly options: readonly TcpOption[] }
  /** Section 6.2.4: option kinds, each 3 to 255; 0, 1 and 2 are not to be listed. */
  | { readonly type: "supportedTcpExtensions"; readonly kinds: readonly number[] }
  /** Section 6.2.7: opaque; padded with zeros, so its length on the wire is a multiple of 4. */
  | { readonly type: "cookie"; readonly cookie: Uint8Array }
  /** Section 6.2.8: `value` is what follows the code, its length congruent to 1 modulo 4. */
  | { readonly type: "error"; readonly code: number; readonly value: Uint8Array }
  /**
   * This project's own, of the range for private use: how many subflows, the initial one included, the sender lets this
   * connection have, 1 to 255. Type(8)=192, Length(8)=1, Reserved(8): zero when sent, ignored when received, Subflows(8).
   * A client that sends it asks for the converter's: who has not asked never gets it (docs/adr/0016).
   */
  | { readonly type: "subflowLimit"; readonly subflows: number }
  /**
   * This project's own, of the range for private use: how much of its capacity the sender has in use, 0 to 100 percent;
   * 100 when it wants no new connections. Type(8)=193, Length(8)=1, Reserved(8): zero when sent, ignored when received,
   * Load(8): more than 100 is read as 100. A client that sends it beside Info asks for the converter's.
   */
  | { readonly type: "gatewayLoad"; readonly percent: number };

const CONNECT_FIXED_BYTES = 20;

/** Why `parseTlv` gave up: the type is not one of RFC 8803's, or its content breaks the format. */
export type TlvFailure = "unsupported" | "malformed";

/** Parses one whole TLV: `bytes` is exactly Length words long. */
export function parseTlv(bytes: Uint8Array): Tlv | TlvFailure {
  switch (bytes[0]) {
    case TLV_TYPE.info:
      return bytes.length === 4 ? { type: "info" } : "malformed";
    case TLV_TYPE.connect:
      return parseConnect(bytes);
    case TLV_TYPE.extendedTcpHeader: {
      const options = parseTcpOptions(bytes.subarray(4));
      return options === undefined ? "malformed" : { type: "extendedTcpHeader", options };
    }
    case TLV_TYPE.supportedTcpExtensions:
      return parseSupportedTcpExtensions(bytes);
    case TLV_TYPE.cookie:
      return bytes.length > 4 ? { type: "cookie", cookie: bytes.slice(4) } : "malformed";
    case TLV_TYPE.error:
      return { type: "error", code: bytes[2] ?? 0, value: bytes.slice(3) };
    case TLV_TYPE.subflowLimit:
      return bytes.length === 4 && bytes[3] ? { type: "subflowLimit", subflows: bytes[3] } : "malformed";
    case TLV_TYPE.gatewayLoad:
      return bytes.length === 4 ? { type: "gatewayLoad", percent: Math.min(100, bytes[3] ?? 0) } : "malformed";
    default:
      return "unsupported";
  }
}

function parseConnect(bytes: Uint8Array): Tlv | TlvFailure {
  if (bytes.length < CONNECT_FIXED_BYTES) return "malformed";
  const address = ipAddressFromBytes(bytes.subarray(4, CONNECT_FIXED_BYTES));
  const list = bytes.subarray(CONNECT_FIXED_BYTES);
  const options = parseTcpOptions(list);
  // Section 6.2.5: options without a length MUST NOT be placed in the list, so a zero byte can only be padding.
  if (address === undefined || options === undefined || !endsInPadding(list, options)) return "malformed";
  return { type: "connect", peer: { address, port: readUint16(bytes, 2) }, options };
}

/** Whether `list` is `options` one after the other and then at most three zeros. */
function endsInPadding(list: Uint8Array, options: readonly TcpOption[]): boolean {
  const canonical = new Uint8Array(tcpOptionsByteLength(options));
  emitTcpOptions(options, canonical, 0);
  return equalBytes(canonical, list);
}

/** Section 6.2.4: Reserved(16), then kinds of one byte, zero-padded. */
function parseSupportedTcpExtensions(bytes: Uint8Array): Tlv | TlvFailure {
  const list = bytes.subarray(4);
  const end = list.indexOf(0);
  const kinds = Array.from(end === -1 ? list : list.subarray(0, end));
  const padding = end === -1 ? [] : Array.from(list.subarray(end));
  const valid = padding.length < 4 && padding.every((byte) => byte === 0) && kinds.every((kind) => kind > 2);
  return valid ? { type: "supportedTcpExtensions", kinds } : "malformed";
}

/** The length of `tlv` on the wire, in bytes: a multiple of 4. */
export function tlvByteLength(tlv: Tlv): number {
  switch (tlv.type) {
    case "info":
    case "subflowLimit":
    case "gatewayLoad":
      return 4;
    case "connect":
      return CONNECT_FIXED_BYTES + tcpOptionsByteLength(tlv.options);
    case "extendedTcpHeader":
      return 4 + tcpOptionsByteLength(tlv.options);
    case "supportedTcpExtensions":
      return 4 + padded(tlv.kinds.length);
    case "cookie":
      return 4 + padded(tlv.cookie.length);
    case "error":
      return padded(3 + tlv.value.length);
  }
}

/** Writes `tlv` at `offset` of a zeroed array and returns the end. */
export function emitTlv(tlv: Tlv, into: Uint8Array, offset: number): number {
  const end = offset + tlvByteLength(tlv);
  into[offset] = TLV_TYPE[tlv.type];
  into[offset + 1] = (end - offset) / 4;
  switch (tlv.type) {
    case "info":
      break;
    case "connect":
      writeUint16(into, offset + 2, tlv.peer.port);
      into.set(tlv.peer.address, offset + 4);
      emitTcpOptions(tlv.options, into, offset + CONNECT_FIXED_BYTES);
      break;
    case "extendedTcpHeader":
      emitTcpOptions(tlv.options, into, offset + 4);
      break;
    case "supportedTcpExtensions":
      into.set(tlv.kinds, offset + 4);
      break;
    case "cookie":
      into.set(tlv.cookie, offset + 4);
      break;
    case "error":
      into[offset + 2] = tlv.code;
      into.set(tlv.value, offset + 3);
      break;
    case "subflowLimit":
      into[offset + 3] = tlv.subflows;
      break;
    case "gatewayLoad":
      into[offset + 3] = tlv.percent;
      break;
  }
  return end;
}

function padded(bytes: number): number {
  return (bytes + 3) & ~3;
}
