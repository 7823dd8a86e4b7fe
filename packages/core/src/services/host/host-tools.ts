/** How a daemon changes its host so that the changes are taken back when it ends: what it hands to its engine. */
import { removeTable, replaceTable } from "./nftables.ts";
import type { OwnedSysctls } from "./owned-sysctls.ts";

export function hostTools(sysctls: OwnedSysctls) {
  const setSysctl = (name: string, change: (current: string) => string) => sysctls.set(name, change);
  return { setSysctl, replaceTable, removeTable };
}
