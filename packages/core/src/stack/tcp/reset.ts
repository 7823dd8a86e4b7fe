/** The answer to a segment for which there is no connection. */
import { TCP_FLAG, type TcpSegment } from "../../wire/tcp/segment.ts";

/** RFC 9293 section 3.10.7.1: a reset that the sender of `segment` accepts; undefined where it is a reset itself. */
export function resetFor(segment: TcpSegment): TcpSegment | undefined {
  const { flags } = segment;
  if ((flags & TCP_FLAG.rst) !== 0) return undefined;
  const acknowledges = (flags & TCP_FLAG.ack) !== 0;
  const length = segment.payload.length + (flags & TCP_FLAG.syn ? 1 : 0) + (flags & TCP_FLAG.fin ? 1 : 0);
  return {
    sourcePort: segment.destinationPort,
    destinationPort: segment.sourcePort,
    sequence: acknowledges ? segment.acknowledgment : 0,
    acknowledgment: acknowledges ? 0 : (segment.sequence + length) >>> 0,
    flags: TCP_FLAG.rst | (acknowledges ? 0 : TCP_FLAG.ack),
    window: 0,
    urgentPointer: 0,
    options: [],
    payload: new Uint8Array(0),
  };
}
