/**
 * NFLOG: the kernel shows copies of packets, which go their way meanwhile (linux/netfilter/nfnetlink_log.h). What comes
 * faster than it is read is lost.
 */
import { readUint32 } from "../base/bytes.ts";
import { ERRNO, resultOf } from "./errno.ts";
import { libc, type Watch, watchReadable } from "./libc.ts";
import { attribute, decodeAttributes, decodeMessages, encodeMessage } from "./netlink/message.ts";
import { netfilterHeader, transact, uint32 } from "./netlink/netfilter.ts";
import { FLAG, NETLINK_NETFILTER, openNetlink } from "./netlink/socket.ts";
import { setReceiveBuffer } from "./socket.ts";

const LOG = 4;
const MESSAGE = { packet: 0, config: 1 } as const;
const CONFIG = { command: 1, mode: 2, bufferBytes: 3, threshold: 5 } as const;
const COMMAND_BIND = 1;
const COPY_PACKET = 2;
const PACKET = { mark: 2, payload: 9 } as const;

const SOCKET_BYTES = 4 << 20;
const SOL_NETLINK = 270;
const NO_ENOBUFS = 5;
const MSG_DONTWAIT = 0x40;
/** IPv6 with extension headers and all of TCP's options fit. */
const COPIED_BYTES = 256;
/** Of one message; each packet is sent by itself. The kernel's default would fill the socket with empty space. */
const MESSAGE_BYTES = 512;
const RECEIVE_BYTES = 8 * 1024;
/** Others, whose packets wait, get their turn after so many. */
const PACKETS_PER_TURN = 32;

/** A copy of a packet. */
export interface LoggedPacket {
  /** From the IP header on, at most 256 bytes. */
  readonly bytes: Uint8Array;
  /** The firewall mark that it has; undefined for none. */
  readonly mark: number | undefined;
}

export interface LogOptions {
  readonly group: number;
  readonly onPacket: (packet: LoggedPacket) => void;
}

/** Our end of a log group. */
export class PacketLog {
  readonly #fd: number;
  readonly #group: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #onPacket: (packet: LoggedPacket) => void;
  readonly #watch: Watch;

  /** Throws a SystemError, EBUSY when another process has the group. */
  constructor({ group, onPacket }: LogOptions) {
    this.#group = group;
    this.#onPacket = onPacket;
    this.#fd = openNetlink(NETLINK_NETFILTER);
    try {
      this.#configure([attribute(CONFIG.command, Uint8Array.of(COMMAND_BIND))]);
      this.#configure([
        attribute(CONFIG.mode, Uint8Array.of(...uint32(COPIED_BYTES), COPY_PACKET, 0)),
        attribute(CONFIG.bufferBytes, uint32(MESSAGE_BYTES)),
        attribute(CONFIG.threshold, uint32(1)),
      ]);
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
    setReceiveBuffer(this.#fd, SOCKET_BYTES);
    libc.setsockopt(this.#fd, SOL_NETLINK, NO_ENOBUFS, Uint32Array.of(1), 4);
    this.#watch = watchReadable(this.#fd, () => this.#readSome());
  }

  #configure(attributes: readonly Uint8Array[]): void {
    const body = Buffer.concat([netfilterHeader(0, this.#group), ...attributes]);
    const type = (LOG << 8) | MESSAGE.config;
    transact(this.#fd, [encodeMessage(type, FLAG.request | FLAG.acknowledge, 1, body)], `NFLOG ${this.#group}`);
  }

  #readSome(): void {
    for (let count = 0; count < PACKETS_PER_TURN; count++) {
      const length = resultOf(libc.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT));
      if (length === -ERRNO.ENOBUFS) continue;
      if (length <= 0) return;
      for (const { type, body } of decodeMessages(this.#buffer.subarray(0, length))) {
        if (type === ((LOG << 8) | MESSAGE.packet)) this.#show(body);
      }
    }
  }

  /** What is shown is a view that lives until the next packet. */
  #show(body: Uint8Array): void {
    const attributes = decodeAttributes(body.subarray(4));
    const mark = attributes.get(PACKET.mark);
    this.#onPacket({
      bytes: attributes.get(PACKET.payload) ?? new Uint8Array(),
      mark: mark && readUint32(mark, 0),
    });
  }

  close(): void {
    this.#watch.stop();
    libc.close(this.#fd);
  }
}
