/** From the configuration to what the reconciler is told. */

import type { SubflowPolicy } from "@hybrid-access/core/policy/path-manager/path-manager";
import { builtInPolicies } from "@hybrid-access/core/policy/path-manager/policies";
import type { ReconcilerSettings } from "@hybrid-access/core/policy/path-manager/settings";
import { findRule } from "@hybrid-access/core/policy/rules";
import type { HcpeConfig } from "./config.ts";

/** How long a connection waits for its worker to say what it carries; it says so when the SYN leaves. */
const DESCRIPTION_MS = 200;
/**
 * A host that is still at work on a connection when its MP_JOIN ends does the rest of it afterwards, and Linux (seen with
 * 6.18) delivers bytes that came meanwhile in the wrong place: docs/adr/0015.
 */
const SETTLE_MS = 100;

/** `module` is the operator's own policy, where there is one; `inForce` names the schedules whose rules hold now. */
export function pathSettings(
  config: HcpeConfig,
  module: SubflowPolicy | undefined,
  inForce: readonly string[],
): ReconcilerSettings {
  const { policy, subflows, uplinks, ndiffports, pairs } = config;
  const { hold, holdBytes, ...limits } = subflows;
  const rules = config.rules.filter(({ during }) => during === undefined || inForce.includes(during));
  const builtIn = builtInPolicies({ ndiffports, pairs });
  const byLoad = policy === "overflow" || rules.some((rule) => rule.policy === "overflow");
  return {
    policies: module === undefined ? builtIn : [...builtIn, module],
    choose(flow) {
      const rule = findRule(rules, flow);
      if (rule === undefined) return { policy };
      return rule.joinPort === 0 ? { policy: rule.policy } : { policy: rule.policy, joinPort: rule.joinPort };
    },
    limits,
    hold: { ms: hold ?? 0, bytes: holdBytes ?? 0 },
    settleMs: SETTLE_MS,
    descriptionMs: config.rules.length === 0 ? 0 : DESCRIPTION_MS,
    rates: new Map(byLoad ? uplinks.map(({ name, rate }) => [name, rate]) : []),
  };
}
