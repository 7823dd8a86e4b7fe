/** The data sequence signals that we send (RFC 8684 section 3.3). */
import { dssChecksum } from "../../wire/mptcp/dss-checksum.ts";
import type { DssMapping, DssOption } from "../../wire/mptcp/options.ts";
import type { Mapping } from "./mappings.ts";
import type { Session } from "./session.ts";

/** DATA_ACK, with the mapping of the segment's data, or DATA_FIN where a segment has none and our stream has ended. */
export function dssOption(session: Session, mapping: DssMapping | undefined): DssOption {
  const { dataAck } = session;
  const said = mapping ?? finMapping(session);
  return { type: "dss", ...(dataAck && { dataAck }), ...(said && { mapping: said }) };
}

/** A mapping as it is said; `subflowSequence` is that of its start. */
export function wireMapping(
  session: Session,
  { start, end, dataStart, checksum }: Mapping,
  subflowSequence: number,
): DssMapping {
  return {
    sequence: session.dataNumberOf(dataStart),
    subflowSequence,
    length: end - start,
    dataFin: false,
    ...(checksum !== undefined && session.usesChecksum && { checksum }),
  };
}

/** Section 3.3.3: a DATA_FIN without data. */
function finMapping(session: Session): DssMapping | undefined {
  const { sender, usesChecksum } = session;
  if (!sender.finDue) return undefined;
  const sequence = session.sequenceOf(sender.end);
  const checksum = usesChecksum ? { checksum: dssChecksum({ sequence, subflowSequence: 0, length: 1 }, 0) } : {};
  return { sequence: session.dataNumberOf(sender.end), subflowSequence: 0, length: 1, dataFin: true, ...checksum };
}
