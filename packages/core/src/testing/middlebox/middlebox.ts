/**
 * Boxes on a path that do more than carry packets (RFC 3234), as models to test a transport against. Each is a small
 * machine of its own; a path has any number of them one behind the other. Pure: packets and time in, packets out.
 */
import { emitTcpPacket, parseTcpPacket, type TcpPacket } from "../../wire/tcp/packet.ts";

/** "forward" is from the side of who opens connections: a home network, behind a NAT or a firewall. */
export type Direction = "forward" | "backward";

export function opposite(direction: Direction): Direction {
  return direction === "forward" ? "backward" : "forward";
}

/** A packet that leaves a box, and to which side. */
export interface Passed {
  readonly direction: Direction;
  readonly packet: Uint8Array;
}

/** Times are milliseconds of one clock that never goes back. */
export interface Middlebox {
  /** Takes a whole IP packet, which the box then owns, and gives those that leave now, in their order. */
  onPacket(nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[];
  /** When {@link onTimeout} wants to be called. */
  pollTimeout?(): number | undefined;
  onTimeout?(nowMs: number): readonly Passed[];
}

/** What a box that knows TCP makes of one packet: packets that go on, or back. */
export type TcpResult = readonly { readonly direction: Direction; readonly packet: TcpPacket }[];

/**
 * Gives `change` the TCP packets that are sound, and lets everything else pass: a box does not look into what it cannot
 * read. What comes out has right checksums. Options in IP headers are lost.
 */
export function passTcp(
  packet: Uint8Array,
  direction: Direction,
  change: (packet: TcpPacket) => TcpResult,
): readonly Passed[] {
  const read = parseTcpPacket(packet);
  if (typeof read === "string") return [{ direction, packet }];
  return change(read).map((result) => ({ direction: result.direction, packet: emitTcpPacket(result.packet) }));
}
