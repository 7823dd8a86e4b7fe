/** Packets that leave a host, and those of them that belong to no connection. */
import { type Endpoint, familyOf, type IpAddress } from "../base/ip-address.ts";
import { IP_PROTOCOL, type IpHeader } from "../wire/ip-packet.ts";
import type { TcpPacket } from "../wire/tcp/packet.ts";
import type { TcpSegment } from "../wire/tcp/segment.ts";

/** A packet to send. One with more payload than `segmentBytes` is to be cut by the device that sends it. */
export interface OutgoingPacket extends TcpPacket {
  readonly segmentBytes: number;
}

/** Puts a segment into a packet between two ends. */
export function packetBetween(
  local: Endpoint,
  remote: Endpoint,
  segment: TcpSegment,
  segmentBytes: number,
): OutgoingPacket {
  return { ip: headerBetween(local.address, remote.address), segment, segmentBytes };
}

function headerBetween(source: IpAddress, destination: IpAddress): IpHeader {
  const common = { source, destination, protocol: IP_PROTOCOL.tcp, trafficClass: 0, hopLimit: 64 };
  return familyOf(source) === "ipv4"
    ? { family: "ipv4", ...common, identification: 0, dontFragment: true }
    : { family: "ipv6", ...common, flowLabel: 0 };
}

/** Answers that wait to be sent, of each kind, and those to packets of nobody in one second. */
export const MOST_ANSWERS = 256;
export const ANSWERS_PER_SECOND = 1000;

/** Answers to packets that belong to no connection. */
export class StrangerAnswers {
  readonly #cookies: OutgoingPacket[] = [];
  readonly #waiting: OutgoingPacket[] = [];
  #sinceMs = 0;
  #sent = 0;

  /** Held to a rate: whoever forges packets gets no amplifier. Without effect beyond the bounds. */
  add(answer: OutgoingPacket, nowMs: number): void {
    if (nowMs - this.#sinceMs >= 1000) {
      this.#sinceMs = nowMs;
      this.#sent = 0;
    }
    if (this.#sent >= ANSWERS_PER_SECOND || this.#waiting.length >= MOST_ANSWERS) return;
    this.#sent += 1;
    this.#waiting.push(answer);
  }

  /**
   * A SYN-ACK of which nothing is kept. Held to no rate, in which those who mean it would be lost among those who
   * flood: it is as long as the SYN that asked for it, and amplifies nothing.
   */
  addCookie(answer: OutgoingPacket): void {
    if (this.#cookies.length < MOST_ANSWERS) this.#cookies.push(answer);
  }

  shift(): OutgoingPacket | undefined {
    return this.#cookies.shift() ?? this.#waiting.shift();
  }
}
