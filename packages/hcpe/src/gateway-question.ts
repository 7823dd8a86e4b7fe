/**
 * Over which uplink a gateway is asked. Where the policy leaves an uplink alone while a better one works, questions must
 * too: so one after the other is asked over, and the next only when the one before it may be what has failed.
 */
import type { Endpoint, IpAddress } from "@hybrid-access/core/base/ip-address";
import { askInfo, type InfoAnswer, isReached } from "./probe.ts";

/** How to ask; the network's ways, unless a test has others. */
export interface Asking {
  readonly info: typeof askInfo;
  readonly reaches: typeof isReached;
}

export const ASKING: Asking = { info: askInfo, reaches: isReached };

export interface GatewayQuestion {
  readonly gateway: Endpoint;
  /** Addresses to ask from, that of the preferred uplink first; undefined leaves it to the kernel. */
  readonly sources: readonly (IpAddress | undefined)[];
  /** Other gateways that serve: one of them tells whether an uplink over which nothing came back works. */
  readonly witnesses: readonly Endpoint[];
  readonly wantsLoad: boolean;
}

/** The first answer; without one, why there was none over the first uplink. */
export async function askInTurn(question: GatewayQuestion, { info, reaches }: Asking): Promise<InfoAnswer> {
  const { gateway, sources, witnesses, wantsLoad } = question;
  let failure: InfoAnswer | undefined;
  for (const [index, source] of sources.entries()) {
    const answer = await info(gateway, source, wantsLoad);
    if (answer.outcome !== "failed") return answer;
    failure ??= answer;
    if (answer.heard || index === sources.length - 1) break;
    const reached = await Promise.all(witnesses.map((witness) => reaches(witness, source, "tcp")));
    if (reached.includes(true)) break;
  }
  return failure ?? { outcome: "failed", reason: "no uplink to ask over", heard: false };
}
