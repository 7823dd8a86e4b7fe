/**
 * nfnetlink (NETLINK_NETFILTER): messages that begin with struct nfgenmsg (family, version, resource identifier in
 * network order) and whose integers are in network order, unlike the rest of netlink.
 */
import { concatBytes, writeUint32 } from "../../base/bytes.ts";
import { check, ERRNO, resultOf, SystemError } from "../errno.ts";
import { libc } from "../libc.ts";
import { attribute, decodeMessages, encodeMessage, nested, value } from "./message.ts";
import { FLAG, openNetlink } from "./socket.ts";

export const NETLINK_NETFILTER = 12;

const ERROR = 2;
const ANSWER_BYTES = 8192;

/** The fixed body of every message. */
export function netfilterHeader(family: number, resource: number): Uint8Array {
  return Uint8Array.of(family, 0, resource >> 8, resource);
}

export function uint32(number: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeUint32(bytes, 0, number);
  return bytes;
}

/** Sends messages as one transaction and waits for the kernel's acknowledgement. Throws a SystemError. */
export function transact(fd: number, messages: readonly Uint8Array[], action: string): void {
  const bytes = concatBytes(messages);
  check(resultOf(libc.send(fd, bytes, bytes.length, 0)), action);
  const buffer = new Uint8Array(ANSWER_BYTES);
  for (;;) {
    const length = check(resultOf(libc.recv(fd, buffer, buffer.length, 0)), action);
    const answer = decodeMessages(buffer.subarray(0, length)).find(({ type }) => type === ERROR);
    if (answer === undefined) continue;
    const errno = -new DataView(answer.body.buffer).getInt32(0, true);
    if (errno !== 0) throw new SystemError(errno, action);
    return;
  }
}

const NFTABLES = 10;
const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const NEW_RULE = 6;
const FLAG_APPEND = 0x800;
const FAMILY_INET = 1;
const RULE = { table: 1, chain: 2, expressions: 4 } as const;
const LIST_ELEMENT = 1;
const EXPRESSION = { name: 1, data: 2 } as const;
const TARGET = { name: 1, revision: 2, info: 3 } as const;
const QUEUE_EXPRESSION = { number: 1, total: 2, flags: 3 } as const;
const QUEUE_BYPASS = 1;

function expression(name: string, data: readonly Uint8Array[]): Uint8Array {
  return concatBytes([attribute(EXPRESSION.name, value.text(name)), nested(EXPRESSION.data, data)]);
}

/** nftables' own expression: integers of 16 bits in network order. */
function queueExpression(queue: number): Uint8Array {
  const short = (number: number) => Uint8Array.of(number >> 8, number);
  return expression("queue", [
    attribute(QUEUE_EXPRESSION.number, short(queue)),
    attribute(QUEUE_EXPRESSION.total, short(1)),
    attribute(QUEUE_EXPRESSION.flags, short(QUEUE_BYPASS)),
  ]);
}

/** The NFQUEUE target of xtables: struct xt_NFQ_info_v3 in host order, padded to 8 bytes. */
function queueTarget(queue: number): Uint8Array {
  const info = new Uint8Array(Uint16Array.of(queue, 1, QUEUE_BYPASS, 0).buffer);
  return expression("target", [
    attribute(TARGET.name, value.text("NFQUEUE")),
    attribute(TARGET.revision, uint32(3)),
    attribute(TARGET.info, info),
  ]);
}

/**
 * Appends a rule to a chain of "table inet TABLE" that hands packets to user space, and lets them pass while nobody
 * listens there ("queue flags bypass"). Not by the nft program: kernels without its queue expression have the same
 * thing as a target of xtables, which nft cannot write. Throws a SystemError when the kernel has neither.
 */
export function appendQueueRule(table: string, chain: string, queue: number): void {
  const fd = openNetlink(NETLINK_NETFILTER);
  try {
    try {
      appendRule(fd, table, chain, queueExpression(queue));
    } catch (error) {
      if (!(error instanceof SystemError) || error.errno !== ERRNO.ENOENT) throw error;
      appendRule(fd, table, chain, queueTarget(queue));
    }
  } finally {
    libc.close(fd);
  }
}

function appendRule(fd: number, table: string, chain: string, expressions: Uint8Array): void {
  const rule = concatBytes([
    netfilterHeader(FAMILY_INET, 0),
    attribute(RULE.table, value.text(table)),
    attribute(RULE.chain, value.text(chain)),
    nested(RULE.expressions, [nested(LIST_ELEMENT, [expressions])]),
  ]);
  const flags = FLAG.request | FLAG.acknowledge | FLAG.create | FLAG_APPEND;
  const messages = [
    encodeMessage(BATCH_BEGIN, FLAG.request, 0, netfilterHeader(0, NFTABLES)),
    encodeMessage((NFTABLES << 8) | NEW_RULE, flags, 1, rule),
    encodeMessage(BATCH_END, FLAG.request, 2, netfilterHeader(0, NFTABLES)),
  ];
  transact(fd, messages, `add a rule to chain ${chain}`);
}
