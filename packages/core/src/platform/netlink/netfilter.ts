/**
 * nfnetlink (NETLINK_NETFILTER): messages that begin with struct nfgenmsg (family, version, resource identifier in
 * network order) and whose integers are in network order, unlike the rest of netlink.
 */
import { concatBytes, writeUint32 } from "../../base/bytes.ts";
import { check, resultOf, SystemError } from "../errno.ts";
import { libc } from "../libc.ts";
import { decodeMessages, errorNumber } from "./message.ts";

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
    const errno = errorNumber(answer.body);
    if (errno !== 0) throw new SystemError(errno, action);
    return;
  }
}
