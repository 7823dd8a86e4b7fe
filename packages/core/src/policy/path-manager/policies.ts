/** Every built-in policy by its name, made from the settings that it has. */
import { aggregate } from "./aggregate.ts";
import { backup } from "./backup.ts";
import { fullmesh } from "./fullmesh.ts";
import { ndiffports } from "./ndiffports.ts";
import { overflow } from "./overflow.ts";
import { type Pair, pairs } from "./pairs.ts";
import type { SubflowPolicy } from "./path-manager.ts";
import { singlePath } from "./single-path.ts";

export const POLICY_NAMES = [
  "aggregate",
  "backup",
  "single-path",
  "overflow",
  "fullmesh",
  "ndiffports",
  "pairs",
  "module",
] as const;

export type PolicyName = (typeof POLICY_NAMES)[number];

/** What policies can be told. */
export interface PolicySettings {
  /** Of "ndiffports": subflows between the one pair of addresses. */
  readonly ndiffports: number;
  readonly pairs: readonly Pair[];
}

/** All policies but "module", which is the operator's; the first one is the default. */
export function builtInPolicies(settings: PolicySettings): SubflowPolicy[] {
  return [aggregate, backup, singlePath, overflow, fullmesh, ndiffports(settings.ndiffports), pairs(settings.pairs)];
}
