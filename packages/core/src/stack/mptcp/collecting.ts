/** Takes from subflows what has arrived in their order, and puts it where its mapping says (RFC 8684 section 3.3.1). */
import { sumWords } from "../../wire/checksum.ts";
import { dssChecksum } from "../../wire/mptcp/dss-checksum.ts";
import { onDataWithoutMapping, onWrongChecksum } from "./fallback.ts";
import { dataPositionOf, type Mapping } from "./mappings.ts";
import type { MptcpParts } from "./parts.ts";
import type { Subflow } from "./subflow.ts";

export function collectData(parts: MptcpParts, subflow: Subflow): void {
  const { tcp, received } = subflow;
  while (tcp.readableBytes > 0 && tcp.closeReason !== "aborted") {
    if (subflow.plain.isDeaf && !skipToPlain(subflow)) return;
    const mapping = received.find(tcp.readPosition);
    if (mapping !== undefined) {
      if (!collectMapped(parts, subflow, mapping)) return;
    } else if (parts.session.fallback === undefined) onDataWithoutMapping(parts, subflow);
    else collectPlain(parts, subflow);
  }
}

/**
 * Drops what the peer sends once more as plain TCP; returns false while it is not known where that begins, or it is not
 * reached.
 */
function skipToPlain(subflow: Subflow): boolean {
  const { tcp, plain } = subflow;
  if (plain.receiveFrom === undefined) return false;
  if (tcp.readPosition < plain.receiveFrom) tcp.take(plain.receiveFrom - tcp.readPosition);
  const isDeaf = tcp.readPosition < plain.receiveFrom;
  subflow.plain = { ...plain, isDeaf };
  return !isDeaf && tcp.readableBytes > 0;
}

function collectPlain({ session }: MptcpParts, { tcp, plain }: Subflow): void {
  const position = tcp.readPosition + plain.receiveOffset;
  session.receiver.onData(position, tcp.take(tcp.readableBytes), true);
}

/** Returns false when the rest of the mapping is to be waited for. */
function collectMapped(parts: MptcpParts, subflow: Subflow, mapping: Mapping): boolean {
  const { tcp, received } = subflow;
  const { session } = parts;
  const position = tcp.readPosition;
  const available = Math.min(tcp.readableBytes, mapping.end - position);
  if (session.usesChecksum) {
    if (position + available < mapping.end) return false;
    const bytes = tcp.take(available);
    received.discardTo(mapping.end);
    if (!isIntact(parts, subflow, mapping, bytes)) {
      onWrongChecksum(parts, subflow, mapping);
      return !subflow.plain.isDeaf;
    }
    session.receiver.onData(mapping.dataStart, bytes, session.fallback !== undefined);
    return true;
  }
  session.receiver.onData(dataPositionOf(mapping, position), tcp.take(available), session.fallback !== undefined);
  received.discardTo(position + available);
  return true;
}

function isIntact({ session }: MptcpParts, { synBytesTaken }: Subflow, mapping: Mapping, bytes: Uint8Array): boolean {
  const { start, end, dataStart, checksum, endsStream, isImplicit } = mapping;
  if (isImplicit) return true;
  if (bytes.length !== end - start) return false;
  const sequence = session.peerSequenceOf(dataStart);
  const subflowSequence = (start - synBytesTaken) >>> 0;
  const length = end - start + (endsStream ? 1 : 0);
  return checksum === dssChecksum({ sequence, subflowSequence, length }, sumWords(bytes));
}
