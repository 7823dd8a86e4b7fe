/** A firewall that lets no SYN pass with an option it does not know (RFC 6824 section 6, RFC 8041 section 3.1). */

import type { SegmentOption } from "../../wire/tcp/options.ts";
import { TCP_FLAG } from "../../wire/tcp/segment.ts";
import { type Direction, type Middlebox, type Passed, passTcp } from "./middlebox.ts";

/** What every firewall knows. */
const KNOWN: readonly SegmentOption["type"][] = ["maximumSegmentSize", "windowScale", "sackPermitted", "timestamps"];

export class SynDropper implements Middlebox {
  onPacket(_nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    return passTcp(packet, direction, (tcp) => {
      const isSyn = (tcp.segment.flags & TCP_FLAG.syn) !== 0;
      const isKnown = tcp.segment.options.every(({ type }) => KNOWN.includes(type));
      return isSyn && !isKnown ? [] : [{ direction, packet: tcp }];
    });
  }
}
