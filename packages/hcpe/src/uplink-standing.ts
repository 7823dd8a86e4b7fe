/** How an uplink may be used beyond what the kernel says of it: by its quality and its quota. Pure. */
import type { UplinkAddress } from "@hybrid-access/core/policy/path-manager/path-manager";
import { demerit } from "@hybrid-access/core/policy/uplink-preference";
import type { Uplink } from "./uplinks.ts";

/** What is known of one uplink. */
export interface Standing {
  readonly quality: "good" | "degraded";
  readonly quotaUsed: boolean;
  /** It must not be used at all. */
  readonly off: boolean;
}

export type StandingOf = (uplink: string) => Standing;

/** The addresses that a policy may use, with what it should know of them. */
export function judgeAddresses(addresses: readonly UplinkAddress[], standingOf: StandingOf): UplinkAddress[] {
  return addresses.flatMap((address) => {
    const { quality, quotaUsed, off } = standingOf(address.uplink);
    return off ? [] : [{ ...address, quality, quotaUsed }];
  });
}

/** More than any configured cost; for each step of demerit. */
const DEMOTED_COST = 10_000_000;

/** The uplinks as new connections should choose among them: what is off has no path, what is demoted comes last. */
export function rankUplinks(uplinks: readonly Uplink[], standingOf: StandingOf): Uplink[] {
  return uplinks.map((uplink) => {
    const { quality, quotaUsed, off } = standingOf(uplink.config.name);
    if (off) return { ...uplink, paths: [] };
    const cost = uplink.config.cost + DEMOTED_COST * demerit({ quality, quotaUsed });
    return { ...uplink, config: { ...uplink.config, cost } };
  });
}
