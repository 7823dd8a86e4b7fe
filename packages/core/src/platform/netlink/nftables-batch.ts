/** Changes of nftables, sent as the nft program would send them (linux/netfilter/nf_tables.h), without starting it. */
import { encodeMessage } from "./message.ts";
import { netfilterHeader, transact } from "./netfilter.ts";
import { FLAG } from "./socket.ts";

const NFTABLES = 10;
const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;

/** Of tables that are for IPv4 and IPv6. */
export const FAMILY_INET = 1;

export interface Change {
  /** NFT_MSG_*. */
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
}

/**
 * Makes the changes in one transaction, by a socket of NETLINK_NETFILTER. Throws a SystemError, and nothing has changed
 * then; another answer may wait at the socket.
 */
export function changeNftables(fd: number, changes: readonly Change[], action: string): void {
  const last = changes.length - 1;
  const messages = [
    encodeMessage(BATCH_BEGIN, FLAG.request, 0, netfilterHeader(0, NFTABLES)),
    ...changes.map(({ type, flags, body }, index) => {
      const acknowledge = index === last ? FLAG.acknowledge : 0;
      return encodeMessage((NFTABLES << 8) | type, FLAG.request | acknowledge | flags, index + 1, body);
    }),
    encodeMessage(BATCH_END, FLAG.request, changes.length + 1, netfilterHeader(0, NFTABLES)),
  ];
  transact(fd, messages, action);
}
