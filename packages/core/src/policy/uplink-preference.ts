/** Which uplinks are to be used only when no better one is there. Pure. */
import { familyOf } from "../base/ip-address.ts";
import type { UplinkAddress } from "./path-manager/path-manager.ts";

/**
 * Whether subflows from `address` should be backup: its uplink is degraded or has used its quota up, and another one of
 * the family is fine. When all are bad, none is demoted: together they carry more.
 */
export function isDemoted(address: UplinkAddress, all: readonly UplinkAddress[]): boolean {
  return (
    !isFine(address) && all.some((other) => isFine(other) && familyOf(other.address) === familyOf(address.address))
  );
}

function isFine({ quality = "good", quotaUsed = false }: UplinkAddress): boolean {
  return quality === "good" && !quotaUsed;
}
