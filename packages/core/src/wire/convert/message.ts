/**
 * Convert messages (RFC 8803 section 6): Version(8)=1, Total Length(8, in 32-bit words, this header included),
 * Magic(16)=0x2263, then TLVs. They open the byte stream of a connection, in both directions; what follows them is
 * the payload.
 */
import { readUint16, writeUint16 } from "../../base/bytes.ts";
import { CONVERT_MAGIC, CONVERT_VERSION, ERROR_CODE, FIXED_HEADER_BYTES, MAX_MESSAGE_BYTES } from "./codes.ts";
import { emitTlv, parseTlv, type Tlv, tlvByteLength } from "./tlv.ts";

export type ConvertMessage = readonly Tlv[];

export type ParseResult =
  /** A whole message; `byteLength` bytes of the input are its own. */
  | { readonly outcome: "message"; readonly message: ConvertMessage; readonly byteLength: number }
  /** A good beginning; the message ends no earlier than at `atLeast` bytes. */
  | { readonly outcome: "incomplete"; readonly atLeast: number }
  /** Not a Convert message at all: the peer speaks something else. */
  | { readonly outcome: "foreign" }
  /** A bad message: `error` is the TLV to answer with. */
  | { readonly outcome: "invalid"; readonly error: Tlv & { type: "error" }; readonly reason: string };

/**
 * Reads the message at the start of `bytes`. Never reads beyond Total Length, never throws.
 *
 * Section 6.1 gives the order of checks: the magic number says whether this is Convert, then the version decides
 * whether the rest can be understood.
 */
export function parseConvertMessage(bytes: Uint8Array): ParseResult {
  if (bytes.length < FIXED_HEADER_BYTES) {
    return looksForeign(bytes) ? { outcome: "foreign" } : { outcome: "incomplete", atLeast: FIXED_HEADER_BYTES };
  }
  if (readUint16(bytes, 2) !== CONVERT_MAGIC) return { outcome: "foreign" };
  if (bytes[0] !== CONVERT_VERSION) return unsupportedVersion(bytes[0] ?? 0);
  const byteLength = 4 * (bytes[1] ?? 0);
  if (byteLength < FIXED_HEADER_BYTES) return invalid(bytes.subarray(0, 4), "malformedMessage", "Total Length is 0");
  if (bytes.length < byteLength) return { outcome: "incomplete", atLeast: byteLength };
  return parseTlvs(bytes.subarray(0, byteLength));
}

/** Whether even the first bytes cannot become a Convert header, so that a foreign peer need not be waited for. */
function looksForeign(bytes: Uint8Array): boolean {
  return bytes.length === 3 && bytes[2] !== CONVERT_MAGIC >> 8;
}

function parseTlvs(bytes: Uint8Array): ParseResult {
  const message: Tlv[] = [];
  const seen = new Set<number>();
  let offset = FIXED_HEADER_BYTES;
  while (offset < bytes.length) {
    const type = bytes[offset] ?? 0;
    const length = 4 * (bytes[offset + 1] ?? 0);
    if (length === 0) return invalid(bytes, "malformedMessage", "a TLV has length 0");
    if (offset + length > bytes.length) return invalid(bytes, "malformedMessage", "a TLV exceeds Total Length");
    // Section 6.2: "A given TLV MUST only appear once on a connection", else Malformed Message.
    if (seen.has(type)) return invalid(bytes, "malformedMessage", `TLV ${type} appears twice`);
    seen.add(type);
    const tlv = parseTlv(bytes.subarray(offset, offset + length));
    if (tlv === "malformed") return invalid(bytes, "malformedMessage", `TLV ${type} is malformed`);
    if (tlv === "unsupported") return invalid(bytes, "unsupportedMessage", `TLV ${type} is unknown`);
    message.push(tlv);
    offset += length;
  }
  return { outcome: "message", message, byteLength: bytes.length };
}

/** Section 6.2.8: the value lists the supported versions, a byte each, zero-padded. */
function unsupportedVersion(version: number): ParseResult {
  const error = { type: "error", code: ERROR_CODE.unsupportedVersion, value: padError([CONVERT_VERSION]) } as const;
  return { outcome: "invalid", error, reason: `version ${version} is not supported` };
}

function invalid(received: Uint8Array, name: "malformedMessage" | "unsupportedMessage", reason: string): ParseResult {
  return { outcome: "invalid", error: echoError(name, received), reason };
}

/**
 * Section 6.2.8, Malformed and Unsupported Message: the value echoes the received message after one zero byte, so that
 * it keeps its alignment. What does not fit into the largest answer is cut.
 */
export function echoError(
  name: "malformedMessage" | "unsupportedMessage",
  received: Uint8Array,
): Tlv & { type: "error" } {
  const room = MAX_MESSAGE_BYTES - FIXED_HEADER_BYTES - 4;
  const echoed = received.subarray(0, Math.min(received.length & ~3, room));
  const value = new Uint8Array(1 + echoed.length);
  value.set(echoed, 1);
  return { type: "error", code: ERROR_CODE[name], value };
}

/** `bytes` with zeros up to the length an error's value has on the wire (1 modulo 4). */
export function padError(bytes: readonly number[] | Uint8Array): Uint8Array {
  const value = new Uint8Array(((bytes.length + 2) & ~3) + 1);
  value.set(bytes);
  return value;
}

/** The message on the wire; throws a RangeError when it is longer than Total Length can say. */
export function emitConvertMessage(message: ConvertMessage): Uint8Array {
  const byteLength = message.reduce((sum, tlv) => sum + tlvByteLength(tlv), FIXED_HEADER_BYTES);
  if (byteLength > MAX_MESSAGE_BYTES) throw new RangeError(`a Convert message of ${byteLength} bytes`);
  const bytes = new Uint8Array(byteLength);
  bytes[0] = CONVERT_VERSION;
  bytes[1] = byteLength / 4;
  writeUint16(bytes, 2, CONVERT_MAGIC);
  let offset = FIXED_HEADER_BYTES;
  for (const tlv of message) offset = emitTlv(tlv, bytes, offset);
  return bytes;
}

/** The TLV of `type` in `message`, if it is there. */
export function findTlv<Type extends Tlv["type"]>(
  message: ConvertMessage,
  type: Type,
): (Tlv & { type: Type }) | undefined {
  return message.find((tlv): tlv is Tlv & { type: Type } => tlv.type === type);
}
