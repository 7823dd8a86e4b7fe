/** What the userspace engine sends packets by. */
import type { IpAddress } from "../../base/ip-address.ts";
import type { Epoll } from "../../platform/epoll.ts";
import type { OutgoingPacket } from "../../stack/outgoing-packet.ts";

export interface ArrivedPacket {
  /** A whole IP packet, which nobody changes any more. */
  readonly bytes: Uint8Array;
  /** TCP's checksum was looked at, or is not there and need not be. */
  readonly isVerified: boolean;
}

export interface Uplink {
  readonly name: string;
  /** Ours alone: whatever comes for them comes here, and what has one as its source leaves here. */
  readonly addresses: readonly IpAddress[];
  /** From now on `epoll` tells with `tag` when there may be something to {@link read}. 0 or minus errno. */
  watch(epoll: Epoll, tag: number): number;
  /** The next packet that has arrived; undefined when there is none. */
  read(): ArrivedPacket | undefined;
  /** Sends a packet. One that cannot be sent counts as lost on the way. */
  write(packet: OutgoingPacket): void;
  close(): void;
}
