/** What middleboxes do to segments of Multipath TCP (RFC 8041 section 3.1). */
import type { SegmentOption } from "@hybrid-access/core/wire/tcp/options";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";

const TCP_TYPES: readonly SegmentOption["type"][] = [
  "maximumSegmentSize",
  "windowScale",
  "sackPermitted",
  "sack",
  "timestamps",
  "fastOpen",
  "unknown",
];

/** Removes every option of Multipath TCP. */
export function stripMptcp(segment: TcpSegment): TcpSegment[] {
  return [{ ...segment, options: segment.options.filter(({ type }) => TCP_TYPES.includes(type)) }];
}

/** Removes them from the segments that `which` says. */
export function stripWhere(which: (segment: TcpSegment, index: number) => boolean) {
  return (segment: TcpSegment, index: number): TcpSegment[] =>
    which(segment, index) ? stripMptcp(segment) : [segment];
}

/** Cuts the payload in two; the options go with the first part, the second, or both. */
export function split(at: number, keep: "first" | "second" | "both") {
  return (segment: TcpSegment): TcpSegment[] => {
    const { payload, sequence } = segment;
    if (payload.length <= at) return [segment];
    const flags = segment.flags & ~(TCP_FLAG.fin | TCP_FLAG.psh);
    const first = { ...segment, flags, payload: payload.subarray(0, at) };
    const second = { ...segment, sequence: (sequence + at) >>> 0, payload: payload.subarray(at) };
    return [
      ...(keep === "second" ? stripMptcp(first) : [first]),
      ...(keep === "first" ? stripMptcp(second) : [second]),
    ];
  };
}

/** Changes one byte of the payload of the segments that `which` says. */
export function corrupt(which: (segment: TcpSegment, index: number) => boolean) {
  return (segment: TcpSegment, index: number): TcpSegment[] => {
    if (segment.payload.length === 0 || !which(segment, index)) return [segment];
    const payload = segment.payload.slice();
    payload[0] = (payload[0] ?? 0) ^ 0x55;
    return [{ ...segment, payload }];
  };
}
