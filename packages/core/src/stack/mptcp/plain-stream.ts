/**
 * How a subflow goes on as plain TCP (RFC 8684 section 3.7): where in it mappings end, in either direction. Nearly every
 * subflow has the same of these, {@link MAPPED}.
 */
import type { MptcpOption } from "../../wire/mptcp/options.ts";

export interface PlainStream {
  /** From a wrong checksum on nothing is taken until the peer has fallen back. */
  readonly isDeaf: boolean;
  /** MP_FAIL, which the peer hears with every acknowledgement until it has fallen back. */
  readonly failure: MptcpOption | undefined;
  /** What has to be added to a subflow's position to get the connection's, sending and receiving. */
  readonly offset: number;
  readonly receiveOffset: number;
  /** The position from which our data has an infinite mapping, said once. */
  readonly infiniteFrom: number | undefined;
  /** From this position on the peer's data has no mappings any more; before it, it may have. */
  readonly receiveFrom: number | undefined;
}

/** Of a subflow whose mappings have not ended. In plain TCP from the start the positions are the connection's too. */
export const MAPPED: PlainStream = {
  isDeaf: false,
  failure: undefined,
  offset: 0,
  receiveOffset: 0,
  infiniteFrom: undefined,
  receiveFrom: undefined,
};
