/** What can be wrong between settings of hcpe.yaml that are right by themselves. What could not be read is left out. Pure. */
import { formatEndpoint } from "@hybrid-access/core/base/ip-address";
import type { PolicyName } from "@hybrid-access/core/policy/path-manager/policies";
import { transportIssues } from "@hybrid-access/core/services/config/common";
import type { Path } from "@hybrid-access/core/services/config/formats";
import type { Draft, SettingIssue } from "@hybrid-access/core/services/config/load";
import { nearest } from "@hybrid-access/core/services/config/nearest";
import type { HcpeConfig } from "./config.ts";

type HcpeDraft = Draft<HcpeConfig>;

/** Everything that makes no sense together. */
export function hcpeIssues(config: HcpeDraft): SettingIssue[] {
  return [
    ...transportIssues(config),
    ...policyIssues(config),
    ...scheduleIssues(config),
    ...uplinkIssues(config),
    ...gatewayIssues(config),
  ];
}

/** An uplink is one interface with one name, and no LAN. */
function uplinkIssues({ uplinks = [], lan }: HcpeDraft): SettingIssue[] {
  const names = uplinks.map((uplink) => uplink?.name);
  const interfaces = uplinks.map((uplink) => uplink?.interface);
  const lanInterfaces = lan?.interfaces ?? [];
  const carried = interfaces.flatMap((name, index): SettingIssue[] =>
    name !== undefined && lanInterfaces.includes(name)
      ? [{ path: ["uplinks", index, "interface"], message: `${name} is a LAN interface too` }]
      : [],
  );
  return [
    ...repetitions(names, (index) => ["uplinks", index, "name"]),
    ...repetitions(interfaces, (index) => ["uplinks", index, "interface"]),
    ...carried,
    ...repetitions(lanInterfaces, (index) => ["lan", "interfaces", index]),
  ];
}

/** Several gateways may have one address, with ports that differ. */
function gatewayIssues({ gateways = [] }: HcpeDraft): SettingIssue[] {
  const ends = gateways.map((gateway) => {
    const { address, port } = gateway ?? {};
    if (address === undefined || port === undefined) return undefined;
    return typeof address === "string" ? `${address}:${port}` : formatEndpoint({ address, port });
  });
  return repetitions(ends, (index) => ["gateways", index]);
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
