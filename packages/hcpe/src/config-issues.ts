/** What can be wrong between settings of hcpe.yaml that are right by themselves. What could not be read is left out. Pure. */
import type { PolicyName } from "@hybrid-access/core/policy/path-manager/policies";
import type { Path } from "@hybrid-access/core/services/config/formats";
import type { Draft, SettingIssue } from "@hybrid-access/core/services/config/load";
import { nearest } from "@hybrid-access/core/services/config/nearest";
import type { HcpeConfig } from "./config.ts";

type HcpeDraft = Draft<HcpeConfig>;

/** Everything that makes no sense together. */
export function hcpeIssues(config: HcpeDraft): SettingIssue[] {
  return [...policyIssues(config), ...scheduleIssues(config)];
}

/** A policy that needs a setting of its own needs it wherever it is named. */
function policyIssues({ policy, rules = [], policyModule, pairs: given }: HcpeDraft): SettingIssue[] {
  const named: [Path, PolicyName | undefined][] = [
    [["policy"], policy],
    ...rules.map((rule, index): [Path, PolicyName | undefined] => [["rules", index, "policy"], rule?.policy]),
  ];
  return named.flatMap(([path, name]): SettingIssue[] => {
    if (name === "module" && policyModule === null) {
      return [{ path, message: "the policy module needs policyModule, its file" }];
    }
    if (name === "pairs" && given?.length === 0) {
      return [{ path, message: "the policy pairs needs pairs, at least one" }];
    }
    return [];
  });
}

/** Rules name schedules that are there, each by its only name. */
function scheduleIssues({ schedules, rules = [] }: HcpeDraft): SettingIssue[] {
  const names = schedules?.map((schedule) => schedule?.name);
  const repeated = repetitions(names ?? [], (index) => ["schedules", index, "name"]);
  // A schedule whose name could not be read may be the one that is meant.
  if (names === undefined || !names.every((name) => name !== undefined)) return repeated;
  const unknown = rules.flatMap((rule, index): SettingIssue[] => {
    const during = rule?.during;
    if (during === undefined || names.includes(during)) return [];
    const close = nearest(during, names);
    const hint = close === undefined ? "" : `; did you mean ${close}?`;
    return [{ path: ["rules", index, "during"], message: `there is no schedule ${during}${hint}` }];
  });
  return [...unknown, ...repeated];
}

/** One issue for each of `words` that stands before it already. */
function repetitions(words: readonly (string | undefined)[], pathOf: (index: number) => Path): SettingIssue[] {
  return words.flatMap((word, index): SettingIssue[] =>
    word === undefined || words.indexOf(word) === index
      ? []
      : [{ path: pathOf(index), message: `${word} is there twice` }],
  );
}
