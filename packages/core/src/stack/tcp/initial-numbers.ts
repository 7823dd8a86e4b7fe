/**
 * Numbers that a connection begins with, and that nobody outside can guess: RFC 6528 (sequence numbers), RFC 7323
 * section 5.4 (timestamps).
 */
import { concatBytes, readUint32, writeUint16 } from "../../base/bytes.ts";
import type { Hashes } from "../../base/hashes.ts";
import type { Endpoint } from "../../base/ip-address.ts";
import type { StackPorts } from "../ports.ts";

/** RFC 9293 section 3.4.1: the clock ticks once in 4 microseconds. */
const TICKS_IN_MS = 250;
const SECRET_BYTES = 16;
const SPACE = 0x1_0000_0000;

export class InitialNumbers {
  readonly #hashes: Hashes;
  readonly #secret: Uint8Array;

  constructor({ hashes, randomBytes }: StackPorts) {
    this.#hashes = hashes;
    this.#secret = randomBytes(SECRET_BYTES);
  }

  /** RFC 6528 section 3: ISN = M + F(local address and port, remote address and port, secret). */
  sequence(local: Endpoint, remote: Endpoint, nowMs: number): number {
    return (this.#keyed(1, [local, remote]) + (Math.floor(nowMs * TICKS_IN_MS) % SPACE)) % SPACE;
  }

  /**
   * What timestamps show at 0 ms: one value for each pair of addresses, so that they go on from one connection to the
   * next (RFC 6191).
   */
  timestampOffset(local: Endpoint, remote: Endpoint): number {
    return this.#keyed(2, [
      { ...local, port: 0 },
      { ...remote, port: 0 },
    ]);
  }

  #keyed(purpose: number, ends: readonly Endpoint[]): number {
    const message = concatBytes([
      Uint8Array.of(purpose),
      ...ends.flatMap(({ address, port }) => [address, portBytes(port)]),
    ]);
    return readUint32(this.#hashes.hmacSha256(this.#secret, message), 0);
  }
}

function portBytes(port: number): Uint8Array {
  const bytes = new Uint8Array(2);
  writeUint16(bytes, 0, port);
  return bytes;
}
