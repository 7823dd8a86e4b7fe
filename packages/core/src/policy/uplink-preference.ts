/** Which uplinks are to be used only when no better one is there. Pure. */
import { familyOf } from "../base/ip-address.ts";
import type { PathReason, UplinkAddress, WantedSubflow } from "./path-manager/path-manager.ts";

type Standing = Pick<UplinkAddress, "quality" | "quotaUsed">;

/** How little an uplink is to be used: 0 when it is fine. What costs money comes after what is only slow. */
export function demerit({ quality = "good", quotaUsed = false }: Standing): number {
  return (quality === "good" ? 0 : 1) + (quotaUsed ? 2 : 0);
}

/**
 * Whether subflows from `address` should be backup: its uplink is degraded or has used its quota up, and another one of
 * the family is better. When all are equally bad, none is demoted: together they carry more.
 */
export function isDemoted(address: UplinkAddress, all: readonly UplinkAddress[]): boolean {
  const family = familyOf(address.address);
  return all.some((other) => demerit(other) < demerit(address) && familyOf(other.address) === family);
}

/** What it is that a demoted uplink gives way for. */
export function whyDemoted(
  address: UplinkAddress,
  all: readonly UplinkAddress[],
): Extract<PathReason, "quality" | "quota"> | undefined {
  if (!isDemoted(address, all)) return undefined;
  return address.quotaUsed ? "quota" : "quality";
}

/** Those that are fine first; otherwise in the order given. */
export function byStanding(uplinks: readonly UplinkAddress[]): UplinkAddress[] {
  return uplinks.toSorted((left, right) => demerit(left) - demerit(right));
}

/** What a policy wants, where demoted uplinks are backup of the others whatever it says, and come last. */
export function demote(wanted: readonly WantedSubflow[]): WantedSubflow[] {
  const regular = wanted.filter(({ backup }) => !backup).map(({ local }) => local);
  const others = wanted.filter(({ local }) => !isDemoted(local, regular));
  const demoted = wanted.flatMap((want) => {
    const reason = whyDemoted(want.local, regular);
    return reason === undefined ? [] : [{ ...want, backup: true, reason }];
  });
  return [...others, ...demoted];
}
