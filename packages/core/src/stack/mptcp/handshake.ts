/**
 * What the two handshakes of Multipath TCP have in common: that of a connection (capable-handshake.ts), and that of a
 * further subflow (join-handshake.ts).
 */
import type { MptcpOption } from "../../wire/mptcp/options.ts";
import type { SegmentOption } from "../../wire/tcp/options.ts";
import type { TcpSegment } from "../../wire/tcp/segment.ts";
import type { OutgoingSegment } from "../tcp/extension.ts";
import type { Mapping } from "./mappings.ts";

/**
 * What follows from a segment. "fallback": the connection is plain TCP; "reset": the subflow ends, `resetReason` says
 * why.
 */
export type HandshakeVerdict = "go" | "fallback" | "reset" | "ignore";

export interface Handshake {
  /** The peer is known to have understood: the subflow may carry data. */
  readonly isConfirmed: boolean;
  /** Why the last verdict was "reset", for MP_TCPRST. */
  readonly resetReason: number;
  /** The option of our SYN, or SYN-ACK. */
  synOption(): MptcpOption;
  /** The peer's SYN-ACK. */
  onSynAck(options: readonly MptcpOption[]): HandshakeVerdict;
  /** What goes with a segment until the peer has confirmed; `mapping` is that of its data. */
  ackOption(outgoing: OutgoingSegment, mapping: Mapping | undefined): MptcpOption | undefined;
  /** A segment behind the SYNs, while not confirmed. */
  onSegment(segment: TcpSegment, options: readonly MptcpOption[]): HandshakeVerdict;
}

export function findMptcp<Type extends MptcpOption["type"]>(
  options: readonly MptcpOption[],
  type: Type,
): Extract<MptcpOption, { type: Type }> | undefined {
  for (const option of options) if (option.type === type) return option as Extract<MptcpOption, { type: Type }>;
  return undefined;
}

const MPTCP_TYPES: ReadonlySet<string> = new Set<MptcpOption["type"]>([
  "capable",
  "joinSyn",
  "joinSynAck",
  "joinAck",
  "dss",
  "addAddress",
  "addAddressV0",
  "removeAddress",
  "priority",
  "fail",
  "fastClose",
  "reset",
]);

/** Whether an option is one of Multipath TCP. */
export function isMptcp(option: SegmentOption): option is MptcpOption {
  return MPTCP_TYPES.has(option.type);
}
