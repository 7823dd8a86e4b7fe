/** Packet sockets (packet(7)). */
import { resultOf } from "./errno.ts";
import { libc } from "./libc.ts";

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;

/** Opens a packet socket that is bound to no protocol, so that it receives nothing yet. Returns it or minus errno. */
export function openPacketSocket(): number {
  return resultOf(libc.socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0));
}
