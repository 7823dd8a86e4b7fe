/**
 * Netlink messages (netlink(7)): a 16-byte header, a fixed body that depends on the family, then attributes of type and
 * length, all aligned to 4 bytes and in host byte order (little-endian on every host this project supports).
 */
import { concatBytes } from "../../base/bytes.ts";

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const NESTED = 0x8000;
/** The bits of an attribute's type that are the type; the others say how its value is written. */
export const TYPE_MASK = 0x3fff;

/** What a message or an attribute of so many bytes takes up. */
export function alignedLength(length: number): number {
  return (length + 3) & ~3;
}

/** A parsed message; `body` begins behind the netlink header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

/** One message with header, ready to be sent. */
export function encodeMessage(type: number, flags: number, sequence: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

/** The messages of one datagram; what is cut off or shorter than its header ends the list. Bodies are views into it. */
export function decodeMessages(datagram: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  for (let offset = 0; offset + HEADER_BYTES <= datagram.length; ) {
    const length = view.getUint32(offset, true);
    if (length < HEADER_BYTES || offset + length > datagram.length) break;
    messages.push({
      type: view.getUint16(offset + 4, true),
      sequence: view.getUint32(offset + 8, true),
      body: datagram.subarray(offset + HEADER_BYTES, offset + length),
    });
    offset += alignedLength(length);
  }
  return messages;
}

/** One attribute, padded. */
export function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(alignedLength(ATTRIBUTE_HEADER_BYTES + value.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ATTRIBUTE_HEADER_BYTES + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

/** An attribute that holds attributes. */
export function nested(type: number, attributes: readonly Uint8Array[]): Uint8Array {
  return attribute(type | NESTED, concatBytes(attributes));
}

/** Integers in host byte order, and zero-terminated text, as attribute values. */
export const value = {
  uint8: (number: number) => Uint8Array.of(number),
  uint16: (number: number) => new Uint8Array(Uint16Array.of(number).buffer),
  uint32: (number: number) => new Uint8Array(Uint32Array.of(number).buffer),
  text: (text: string) => new TextEncoder().encode(`${text}\0`),
};

/** Attributes by type; of a repeated one the last. Values are views into `bytes`. */
export function decodeAttributes(bytes: Uint8Array): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = 0; offset + ATTRIBUTE_HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint16(offset, true);
    if (length < ATTRIBUTE_HEADER_BYTES || offset + length > bytes.length) break;
    attributes.set(view.getUint16(offset + 2, true) & TYPE_MASK, bytes.subarray(offset + 4, offset + length));
    offset += alignedLength(length);
  }
  return attributes;
}

/** Where attributes are asked for by type; of a repeated one the last counts. */
export type Attributes = Pick<AttributeList, "get" | "integer" | "copy">;

/** As {@link decodeAttributes}, for a message of which little is asked: looks when it is asked, and makes no table. */
export class AttributeList {
  readonly #bytes: Uint8Array;
  readonly #start: number;

  /** The attributes from `start` on. */
  constructor(bytes: Uint8Array, start = 0) {
    this.#bytes = bytes;
    this.#start = start;
  }

  /** The value of an attribute, a view. */
  get(wanted: number): Uint8Array | undefined {
    const at = this.#find(wanted);
    if (at === NOWHERE) return undefined;
    return this.#bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + littleEndian16(this.#bytes, at));
  }

  /** {@link integer} of an attribute, without a view. */
  integer(wanted: number): number | undefined {
    const at = this.#find(wanted);
    if (at === NOWHERE) return undefined;
    const length = littleEndian16(this.#bytes, at) - ATTRIBUTE_HEADER_BYTES;
    return INTEGER_BYTES.includes(length) ? littleEndian(this.#bytes, at + ATTRIBUTE_HEADER_BYTES, length) : undefined;
  }

  /** The same attributes in memory of their own. */
  copy(): AttributeList {
    return new AttributeList(this.#bytes.slice(this.#start));
  }

  #find(wanted: number): number {
    const bytes = this.#bytes;
    let found = NOWHERE;
    for (let offset = this.#start; offset + ATTRIBUTE_HEADER_BYTES <= bytes.length; ) {
      const length = littleEndian16(bytes, offset);
      if (length < ATTRIBUTE_HEADER_BYTES || offset + length > bytes.length) break;
      if ((littleEndian16(bytes, offset + 2) & TYPE_MASK) === wanted) found = offset;
      offset += alignedLength(length);
    }
    return found;
  }
}

const NOWHERE = -1;

function littleEndian16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8);
}

/** The integer of an attribute of 1, 2, 4 or 8 bytes; undefined when it is missing or of another length. */
export function integer(bytes: Uint8Array | undefined): number | undefined {
  return bytes && INTEGER_BYTES.includes(bytes.length) ? littleEndian(bytes, 0, bytes.length) : undefined;
}

function littleEndian(bytes: Uint8Array, offset: number, length: number): number {
  let number = 0;
  for (let index = offset + length - 1; index >= offset; index--) number = number * 0x100 + (bytes[index] ?? 0);
  return number;
}

const INTEGER_BYTES: readonly number[] = [1, 2, 4, 8];

/** The text of an attribute, without its terminating zero. */
export function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes && new TextDecoder().decode(bytes).replace(/\0.*$/s, "");
}

/** What an NLMSG_ERROR says: a positive errno, 0 for an acknowledgement. The body may lie anywhere in a datagram. */
export function errorNumber(body: Uint8Array): number {
  return -new DataView(body.buffer, body.byteOffset).getInt32(0, true);
}
