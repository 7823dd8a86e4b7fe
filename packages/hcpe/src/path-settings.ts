/** From the configuration to what the reconciler is told, and to the rules that the workers apply. */

import type { SubflowPolicy } from "@hybrid-access/core/policy/path-manager/path-manager";
import { builtInPolicies } from "@hybrid-access/core/policy/path-manager/policies";
import type { ReconcilerSettings } from "@hybrid-access/core/policy/path-manager/reconciler";
import type { HcpeConfig } from "./config.ts";

/** How long a connection waits for the worker to say which rule it is under; it says so with the SYN. */
const CHOICE_MS = 200;

/** `module` is the operator's own policy, where there is one. */
export function pathSettings(config: HcpeConfig, module: SubflowPolicy | undefined): ReconcilerSettings {
  const { policy, rules, subflows, uplinks, ndiffports, pairs } = config;
  const { hold, ...limits } = subflows;
  const builtIn = builtInPolicies({ ndiffports, pairs });
  const byLoad = policy === "overflow" || rules.some((rule) => rule.policy === "overflow");
  return {
    policies: module === undefined ? builtIn : [...builtIn, { name: "module", wanted: module.wanted.bind(module) }],
    defaultChoice: { policy },
    limits,
    holdMs: hold ?? 0,
    choiceMs: rules.length === 0 ? 0 : CHOICE_MS,
    rates: new Map(byLoad ? uplinks.map(({ name, rate }) => [name, rate]) : []),
  };
}
