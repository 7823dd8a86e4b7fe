/** Packets between one client inside and one server outside, for tests of boxes. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { Direction, Middlebox, Passed } from "@hybrid-access/core/testing/middlebox/middlebox";
import type { IpHeader } from "@hybrid-access/core/wire/ip-packet";
import { emitTcpPacket, parseTcpPacket, type TcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";

export const CLIENT = { address: ipAddress("10.1.0.2"), port: 40_000 };
export const SERVER = { address: ipAddress("203.0.113.1"), port: 443 };

/** A packet from inside ("forward") or outside; an ACK without payload unless `fields` say more. */
export function tcp(direction: Direction, fields: Partial<TcpSegment> = {}): TcpPacket {
  const [from, to] = direction === "forward" ? [CLIENT, SERVER] : [SERVER, CLIENT];
  const ip: IpHeader = {
    family: "ipv4",
    source: from.address,
    destination: to.address,
    protocol: 6,
    trafficClass: 0,
    hopLimit: 64,
    identification: 0,
    dontFragment: true,
  };
  const segment: TcpSegment = {
    sourcePort: from.port,
    destinationPort: to.port,
    sequence: 1000,
    acknowledgment: 5000,
    flags: TCP_FLAG.ack,
    window: 512,
    urgentPointer: 0,
    options: [],
    payload: new Uint8Array(),
    ...fields,
  };
  return { ip, segment };
}

export const SYN = { flags: TCP_FLAG.syn, acknowledgment: 0, sequence: 999 } as const;
export const SYN_ACK = { flags: TCP_FLAG.syn | TCP_FLAG.ack, sequence: 4999, acknowledgment: 1000 } as const;

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** What a box has let through, read again; a packet that is not sound is an error of the box. */
export interface Seen {
  readonly direction: Direction;
  readonly ip: IpHeader;
  readonly segment: TcpSegment;
}

export function read(passed: readonly Passed[]): Seen[] {
  return passed.map(({ direction, packet }) => {
    const result = parseTcpPacket(packet);
    if (typeof result === "string") throw new RangeError(`a box made a packet that is refused: ${result}`);
    return { direction, ...result };
  });
}

export function pass(box: Middlebox, direction: Direction, fields: Partial<TcpSegment> = {}, nowMs = 0): Seen[] {
  return read(box.onPacket(nowMs, emitTcpPacket(tcp(direction, fields)), direction));
}
