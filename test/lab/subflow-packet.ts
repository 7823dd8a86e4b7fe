/** What a captured IPv4 packet says as part of a subflow (RFC 8684 sections 3.2 and 3.3.8). */
import { parseTcpOptions, TCP_OPTION } from "@hybrid-access/core/wire/tcp-options";

export interface SubflowPacket {
  readonly payloadBytes: number;
  /** It is the SYN, or SYN+ACK, of a further subflow. */
  readonly join: { readonly backup: boolean } | undefined;
  /** It changes the priority of its subflow. */
  readonly priority: { readonly backup: boolean } | undefined;
}

const FLAG_SYN = 0x02;
const SUBTYPE = { join: 1, priority: 5 } as const;
const BACKUP_BIT = 1;
const TCP_HEADER_BYTES = 20;

/** Reads a packet from its IPv4 header on; the TCP header must be there whole. */
export function readSubflowPacket(packet: Uint8Array): SubflowPacket {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const tcp = 4 * (view.getUint8(0) & 0x0f);
  const payload = tcp + 4 * (view.getUint8(tcp + 12) >> 4);
  const options = parseTcpOptions(packet.subarray(tcp + TCP_HEADER_BYTES, payload)) ?? [];
  const find = (subtype: number) => {
    const option = options.find(
      ({ kind, data }) => kind === TCP_OPTION.multipathTcp && (data[0] ?? 0) >> 4 === subtype,
    );
    return option && { backup: ((option.data[0] ?? 0) & BACKUP_BIT) !== 0 };
  };
  return {
    payloadBytes: view.getUint16(2) - payload,
    join: (view.getUint8(tcp + 13) & FLAG_SYN) === 0 ? undefined : find(SUBTYPE.join),
    priority: find(SUBTYPE.priority),
  };
}
