/**
 * NFQUEUE: the kernel hands packets over, with their first bytes, and waits for a verdict on each
 * (linux/netfilter/nfnetlink_queue.h).
 */
import { readUint32 } from "../base/bytes.ts";
import { ERRNO, resultOf } from "./errno.ts";
import { libc, type Watch, watchReadable } from "./libc.ts";
import { attribute, decodeAttributes, decodeMessages, encodeMessage } from "./netlink/message.ts";
import { netfilterHeader, transact, uint32 } from "./netlink/netfilter.ts";
import { FLAG, NETLINK_NETFILTER, openNetlink } from "./netlink/socket.ts";
import { setReceiveBuffer } from "./socket.ts";

const QUEUE = 3;
const MESSAGE = { packet: 0, verdict: 1, config: 2 } as const;
const CONFIG = { command: 1, parameters: 2, mostPackets: 3, mask: 4, flags: 5 } as const;
const COMMAND_BIND = 1;
const COPY_PACKET = 2;
/** When the queue or its socket is full, packets pass; several segments that arrived as one stay one. */
const FLAG_FAIL_OPEN = 1;
const FLAG_SEGMENTS = 4;
const PACKET = { header: 1, payload: 10 } as const;
const VERDICT = { header: 2, mark: 3 } as const;
const NF_DROP = 0;
const NF_ACCEPT = 1;

const SOCKET_BYTES = 4 << 20;
const SOL_NETLINK = 270;
const NO_ENOBUFS = 5;
const MSG_DONTWAIT = 0x40;
/** IPv6 with extension headers and all of TCP's options fit. */
const COPIED_BYTES = 256;
const RECEIVE_BYTES = 64 * 1024;
/** Others get their turn after so many packets. */
const PACKETS_PER_TURN = 256;
/** Verdicts sent together: the first of them waits until the last one is decided. */
const VERDICTS_AT_ONCE = 32;

/** A packet that waits for its verdict. */
export interface QueuedPacket {
  readonly id: number;
  /** From the IP header on, at most 256 bytes. */
  readonly bytes: Uint8Array;
}

export interface QueueOptions {
  readonly queue: number;
  /** Packets that the kernel keeps for us at most; those beyond pass without a verdict. */
  readonly mostPackets: number;
  readonly onPacket: (packet: QueuedPacket) => void;
}

/** Our end of a queue. Its packets are dropped when it closes; from then on "bypass" rules let packets pass. */
export class PacketQueue {
  readonly #fd: number;
  readonly #number: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  readonly #onPacket: (packet: QueuedPacket) => void;
  readonly #watch: Watch;
  #verdicts: Uint8Array[] = [];

  /** Throws a SystemError, EBUSY when another process has the queue. */
  constructor({ queue, mostPackets, onPacket }: QueueOptions) {
    this.#number = queue;
    this.#onPacket = onPacket;
    this.#fd = openNetlink(NETLINK_NETFILTER);
    try {
      this.#configure([attribute(CONFIG.command, Uint8Array.of(COMMAND_BIND, 0, 0, 0))]);
      this.#configure([
        attribute(CONFIG.parameters, Uint8Array.of(...uint32(COPIED_BYTES), COPY_PACKET)),
        attribute(CONFIG.mostPackets, uint32(mostPackets)),
        attribute(CONFIG.mask, uint32(FLAG_FAIL_OPEN | FLAG_SEGMENTS)),
        attribute(CONFIG.flags, uint32(FLAG_FAIL_OPEN | FLAG_SEGMENTS)),
      ]);
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
    setReceiveBuffer(this.#fd, SOCKET_BYTES);
    libc.setsockopt(this.#fd, SOL_NETLINK, NO_ENOBUFS, Uint32Array.of(1), 4);
    this.#watch = watchReadable(this.#fd, () => this.#readAll());
  }

  #configure(attributes: readonly Uint8Array[]): void {
    const body = Buffer.concat([netfilterHeader(0, this.#number), ...attributes]);
    const type = (QUEUE << 8) | MESSAGE.config;
    transact(this.#fd, [encodeMessage(type, FLAG.request | FLAG.acknowledge, 1, body)], `NFQUEUE ${this.#number}`);
  }

  #readAll(): void {
    for (let count = 0; count < PACKETS_PER_TURN; count++) {
      const length = resultOf(libc.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT));
      if (length === -ERRNO.ENOBUFS) continue;
      if (length <= 0) break;
      // A copy: a packet may be kept until the registry has answered.
      for (const { type, body } of decodeMessages(this.#buffer.slice(0, length))) {
        if (type === ((QUEUE << 8) | MESSAGE.packet)) this.#handOver(body);
      }
      if (this.#verdicts.length >= VERDICTS_AT_ONCE) this.flush();
    }
    this.flush();
  }

  #handOver(body: Uint8Array): void {
    const attributes = decodeAttributes(body.subarray(4));
    const header = attributes.get(PACKET.header);
    if (header === undefined) return;
    this.#onPacket({ id: readUint32(header, 0), bytes: attributes.get(PACKET.payload) ?? new Uint8Array() });
  }

  /** Lets a packet go on, with this firewall mark if one is given. Sent with the next {@link flush}. */
  accept(id: number, mark?: number): void {
    this.#verdict(id, NF_ACCEPT, mark);
  }

  drop(id: number): void {
    this.#verdict(id, NF_DROP);
  }

  #verdict(id: number, verdict: number, mark?: number): void {
    const header = Uint8Array.of(...uint32(verdict), ...uint32(id));
    const parts = [netfilterHeader(0, this.#number), attribute(VERDICT.header, header)];
    if (mark !== undefined) parts.push(attribute(VERDICT.mark, uint32(mark)));
    // Without the request flag the kernel ignores a verdict silently.
    this.#verdicts.push(encodeMessage((QUEUE << 8) | MESSAGE.verdict, FLAG.request, 0, Buffer.concat(parts)));
  }

  /** Sends the verdicts since the last time, as one. What came in one turn is flushed without asking. */
  flush(): void {
    if (this.#verdicts.length === 0) return;
    const bytes = Buffer.concat(this.#verdicts);
    this.#verdicts = [];
    libc.send(this.#fd, bytes, bytes.length, 0);
  }

  close(): void {
    this.#watch.stop();
    libc.close(this.#fd);
  }
}
