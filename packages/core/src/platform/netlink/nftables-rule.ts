/** Rules of nftables that the nft program cannot write everywhere, appended to a chain of a table of the family inet. */
import { concatBytes } from "../../base/bytes.ts";
import type { Family } from "../../base/ip-address.ts";
import { ERRNO, SystemError } from "../errno.ts";
import { libc } from "../libc.ts";
import { attribute, nested, value } from "./message.ts";
import { netfilterHeader, uint32 } from "./netfilter.ts";
import { changeNftables, FAMILY_INET } from "./nftables-batch.ts";
import { FLAG, NETLINK_NETFILTER, openNetlink } from "./socket.ts";

const NEW_RULE = 6;
const FLAG_APPEND = 0x800;
const RULE = { table: 1, chain: 2, expressions: 4 } as const;
const LIST_ELEMENT = 1;
const EXPRESSION = { name: 1, data: 2 } as const;
const TARGET = { name: 1, revision: 2, info: 3 } as const;
const QUEUE = { number: 1, total: 2, flags: 3 } as const;
const QUEUE_BYPASS = 1;
const PAYLOAD = { register: 1, base: 2, offset: 3, length: 4 } as const;
const BASE = { network: 1, transport: 2 } as const;
const META = { register: 1, key: 2 } as const;
const META_MARK = 3;
const DYNSET = { name: 1, operation: 3, keyRegister: 4, dataRegister: 5 } as const;
const DYNSET_UPDATE = 1;
/** The first of the registers of 32 bits. */
const REGISTER = 8;

function expression(name: string, data: readonly Uint8Array[]): Uint8Array {
  return concatBytes([attribute(EXPRESSION.name, value.text(name)), nested(EXPRESSION.data, data)]);
}

/** nftables' own expression: integers of 16 bits in network order. */
function queueExpression(queue: number): Uint8Array {
  const short = (number: number) => Uint8Array.of(number >> 8, number);
  return expression("queue", [
    attribute(QUEUE.number, short(queue)),
    attribute(QUEUE.total, short(1)),
    attribute(QUEUE.flags, short(QUEUE_BYPASS)),
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
 * Appends "queue flags bypass to QUEUE": hands packets to user space, and lets them pass while nobody listens there.
 * Kernels without nftables' queue expression have the same thing as a target of xtables, which nft cannot write.
 * Throws a SystemError when the kernel has neither.
 */
export function appendQueueRule(table: string, chain: string, queue: number): void {
  try {
    appendRule(table, chain, [queueExpression(queue)]);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== ERRNO.ENOENT) throw error;
    appendRule(table, chain, [queueTarget(queue)]);
  }
}

function load(register: number, base: number, offset: number, length: number): Uint8Array {
  return expression("payload", [
    attribute(PAYLOAD.register, uint32(register)),
    attribute(PAYLOAD.base, uint32(base)),
    attribute(PAYLOAD.offset, uint32(offset)),
    attribute(PAYLOAD.length, uint32(length)),
  ]);
}

/** Where the source address stands in the IP header. */
const SOURCE: Readonly<Record<Family, { offset: number; length: number }>> = {
  ipv4: { offset: 12, length: 4 },
  ipv6: { offset: 8, length: 16 },
};

/**
 * Appends "update @MAP { ip saddr . tcp sport . tcp dport : meta mark }", or the same with ip6: nft 1.0.6 fails to
 * write it for keys as long as those of IPv6. When the map is full the rule does nothing. Throws a SystemError.
 */
export function appendFlowRule(table: string, chain: string, map: string, family: Family): void {
  const { offset, length } = SOURCE[family];
  const ports = REGISTER + length / 4;
  const data = ports + 2;
  appendRule(table, chain, [
    load(REGISTER, BASE.network, offset, length),
    load(ports, BASE.transport, 0, 2),
    load(ports + 1, BASE.transport, 2, 2),
    expression("meta", [attribute(META.register, uint32(data)), attribute(META.key, uint32(META_MARK))]),
    expression("dynset", [
      attribute(DYNSET.name, value.text(map)),
      attribute(DYNSET.operation, uint32(DYNSET_UPDATE)),
      attribute(DYNSET.keyRegister, uint32(REGISTER)),
      attribute(DYNSET.dataRegister, uint32(data)),
    ]),
  ]);
}

function appendRule(table: string, chain: string, expressions: readonly Uint8Array[]): void {
  const rule = concatBytes([
    netfilterHeader(FAMILY_INET, 0),
    attribute(RULE.table, value.text(table)),
    attribute(RULE.chain, value.text(chain)),
    nested(
      RULE.expressions,
      expressions.map((one) => nested(LIST_ELEMENT, [one])),
    ),
  ]);
  const change = { type: NEW_RULE, flags: FLAG.create | FLAG_APPEND, body: rule };
  const fd = openNetlink(NETLINK_NETFILTER);
  try {
    changeNftables(fd, [change], `add a rule to chain ${chain}`);
  } finally {
    libc.close(fd);
  }
}
