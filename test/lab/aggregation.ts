/** The main figure: what one connection reaches over the uplinks, against what the links can carry. */
import { type Transfer, type TransferDirection, type TransferFamily, type TransferLab, transfer } from "./transfer.ts";
import { linkRate, type UplinkSetting } from "./uplinks.ts";

/**
 * The share of the sum of the link rates that both uplinks together must reach, as payload. Headers of IP, TCP and
 * Multipath TCP take 4 to 5 % of a full-sized packet, so 1 is out of reach.
 */
export const SHARE_GOAL = 0.92;

/** The raw links carry this much payload at most, about: sizes of transfers are chosen with it. */
const PAYLOAD_SHARE = 0.94;

/** Which transfer over which uplinks. */
export interface Case {
  readonly uplinks: UplinkSetting;
  readonly family: TransferFamily;
  readonly direction: TransferDirection;
}

/** What a case reached. */
export interface Measurement extends Case {
  readonly transfer: Transfer;
  /** Goodput over the raw rate of the links that were plugged in. */
  readonly share: number;
}

/**
 * Runs one transfer of about `seconds`. The uplinks must be plugged in already. Throws when it fails, and when the
 * connection did not come through the gateway: its figure would say nothing about the pair.
 */
export async function measure(
  lab: TransferLab,
  subject: Case,
  seconds: number,
  signal?: AbortSignal,
): Promise<Measurement> {
  const { uplinks, family, direction } = subject;
  const rateBitsPerSecond = linkRate(uplinks, direction);
  const bytes = Math.round((rateBitsPerSecond * PAYLOAD_SHARE * seconds) / 8);
  const done = await transfer(lab, { family, direction, bytes, signal });
  if (!done.throughGateway) throw new Error(`the ${family} ${direction} went to the server without the gateway`);
  return { ...subject, transfer: done, share: done.goodputBitsPerSecond / rateBitsPerSecond };
}
