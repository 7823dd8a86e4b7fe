/**
 * SYN cookies (RFC 4987 section 3.6): the answer to a SYN of which nothing is kept. Our initial sequence number holds
 * what must be known when the third segment comes: count(5), index of the segment size(3), HMAC(24). Where the peer
 * sends timestamps, the low six bits of ours hold the rest: 1 when it allows SACK(1), its window shift or 15 for
 * none(4), one bit unused.
 */
import { concatBytes, readUint32, writeUint16, writeUint32 } from "../../base/bytes.ts";
import type { Hashes } from "../../base/hashes.ts";
import type { Endpoint } from "../../base/ip-address.ts";
import type { StackPorts } from "../ports.ts";
import type { SynOptions } from "./handshake.ts";

/** What a cookie can say of the peer's segment size: the largest that is not larger. */
const SEGMENT_BYTES = [536, 1000, 1220, 1360, 1400, 1440, 1460, 8940] as const;
/** The count goes on after this time; a cookie is good for one to two of it. */
export const COOKIE_PERIOD_MS = 60_000;
const COUNTS = 32;
const SECRET_BYTES = 16;
const NO_SHIFT = 15;

export class SynCookies {
  readonly #hashes: Hashes;
  readonly #secret: Uint8Array;

  constructor({ hashes, randomBytes }: StackPorts) {
    this.#hashes = hashes;
    this.#secret = randomBytes(SECRET_BYTES);
  }

  /** The initial sequence number that answers a SYN. */
  make(local: Endpoint, remote: Endpoint, peerSequence: number, segmentBytes: number, nowMs: number): number {
    const index = Math.max(
      0,
      SEGMENT_BYTES.findLastIndex((bytes) => bytes <= segmentBytes),
    );
    const count = countAt(nowMs);
    return (
      ((count % COUNTS) * 0x0800_0000 + index * 0x0100_0000 + this.#mac(local, remote, peerSequence, count, index)) >>>
      0
    );
  }

  /**
   * The peer's segment size, when the acknowledgement of `sequence` + 1 shows that we have sent it lately; else
   * undefined.
   */
  check(local: Endpoint, remote: Endpoint, peerSequence: number, sequence: number, nowMs: number): number | undefined {
    const index = (sequence >>> 24) & 7;
    const now = countAt(nowMs);
    for (const count of [now, now - 1]) {
      if (count < 0 || count % COUNTS !== sequence >>> 27) continue;
      const isOurs = this.#mac(local, remote, peerSequence, count, index) === (sequence & 0xff_ffff);
      return isOurs ? SEGMENT_BYTES[index] : undefined;
    }
    return undefined;
  }

  /** One of many keys of Multipath TCP that can be made again from the cookie (RFC 8041 section 3.11). */
  keyFor(local: Endpoint, remote: Endpoint, sequence: number, number: number): Uint8Array {
    return this.#keyed(2, local, remote, [sequence, number]).slice(0, 8);
  }

  #mac(local: Endpoint, remote: Endpoint, peerSequence: number, count: number, index: number): number {
    return readUint32(this.#keyed(1, local, remote, [peerSequence, count, index]), 0) >>> 8;
  }

  #keyed(purpose: number, local: Endpoint, remote: Endpoint, numbers: readonly number[]): Uint8Array {
    const tail = new Uint8Array(4 + 4 * numbers.length);
    writeUint16(tail, 0, local.port);
    writeUint16(tail, 2, remote.port);
    for (const [index, number] of numbers.entries()) writeUint32(tail, 4 + 4 * index, number);
    const message = concatBytes([Uint8Array.of(purpose), local.address, remote.address, tail]);
    return this.#hashes.hmacSha256(this.#secret, message);
  }
}

function countAt(nowMs: number): number {
  return Math.floor(nowMs / COOKIE_PERIOD_MS);
}

/** Our timestamp in the answer: `value` or up to 127 ms less. */
export function hideInTimestamp(value: number, { selective, windowShift }: SynOptions): number {
  const hidden = (selective ? 0x20 : 0) | ((windowShift ?? NO_SHIFT) << 1);
  const marked = ((value & ~0x3f) | hidden) >>> 0;
  return marked > value ? (marked - 0x40) >>> 0 : marked;
}

/** What of a SYN our timestamp says, which the peer echoes. */
export function readFromTimestamp(echo: number): Pick<SynOptions, "selective" | "windowShift"> {
  const shift = (echo >> 1) & 0xf;
  return { selective: (echo & 0x20) !== 0, windowShift: shift === NO_SHIFT ? undefined : shift };
}
