/** A DNS server for one name (RFC 1035) in a node of the lab, whose answer the test changes. */
import { createSocket, type Socket } from "node:dgram";
import { ipAddress, networkBytes } from "@hybrid-access/core/base/ip-address";
import type { Lab } from "./lab.ts";

const HEADER_BYTES = 12;
const TYPE = { ipv4: 1, ipv6: 28 } as const;
const CLASS_INTERNET = 1;
/** An answer (QR, AA) without an error. */
const FLAGS = 0x8400;
/** A pointer to the question's name, which begins behind the header. */
const SAME_NAME = 0xc000 | HEADER_BYTES;

export class NameServer {
  /** What every question is answered with; undefined: nothing comes back. */
  addresses: readonly string[] | undefined;
  questions = 0;
  readonly #ttlSeconds: number;
  readonly #socket: Socket;

  constructor(lab: Lab, node: string, port: number, ttlSeconds: number) {
    this.#ttlSeconds = ttlSeconds;
    // Without a look-up of its own the socket is bound before `inside` leaves the node.
    const lookup = (host: string, _options: object, done: (error: null, address: string, family: number) => void) =>
      done(null, host, 4);
    this.#socket = lab.inside(node, () => {
      const socket = createSocket({ type: "udp4", lookup: lookup as never });
      return socket.bind(port, "127.0.0.1");
    });
    this.#socket.on("message", (question, from) => {
      this.questions += 1;
      const answer = this.#answer(question);
      if (answer !== undefined) this.#socket.send(answer, from.port, from.address);
    });
  }

  #answer(question: Buffer): Buffer | undefined {
    if (this.addresses === undefined) return undefined;
    const nameEnd = question.indexOf(0, HEADER_BYTES) + 1;
    const type = question.readUInt16BE(nameEnd);
    const family = this.addresses.filter((address) => TYPE[address.includes(":") ? "ipv6" : "ipv4"] === type);
    const header = Buffer.alloc(HEADER_BYTES);
    question.copy(header, 0, 0, 2);
    header.writeUInt16BE(FLAGS, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(family.length, 6);
    const records = family.map((address) => this.#record(type, networkBytes(ipAddress(address))));
    return Buffer.concat([header, question.subarray(HEADER_BYTES, nameEnd + 4), ...records]);
  }

  #record(type: number, data: Uint8Array): Buffer {
    const fixed = Buffer.alloc(12);
    fixed.writeUInt16BE(SAME_NAME, 0);
    fixed.writeUInt16BE(type, 2);
    fixed.writeUInt16BE(CLASS_INTERNET, 4);
    fixed.writeUInt32BE(this.#ttlSeconds, 6);
    fixed.writeUInt16BE(data.length, 10);
    return Buffer.concat([fixed, data]);
  }

  close(): void {
    this.#socket.close();
  }
}
