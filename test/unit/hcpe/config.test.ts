import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadHcpeConfig } from "@hybrid-access/hcpe/config";
import { expect } from "chai";

/** Loads a configuration whose only uplink has this quota, on line 3 from column 43 on. */
function load(quota: string) {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-config-"));
  const config = join(directory, "hcpe.yaml");
  writeFileSync(
    config,
    `lan: { interfaces: [lan] }
uplinks:
  - { name: lte, interface: wwan0, quota: ${quota} }
gateways: [{ address: 198.51.100.9 }]
`,
  );
  try {
    return loadHcpeConfig({ config, set: [] }).uplinks[0]?.quota;
  } catch (error) {
    return (error as Error).message.replaceAll(`${directory}/`, "");
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("the configuration of a quota", () => {
  it("needs only the bytes", () => {
    expect(load("{ bytes: 50GB }")).to.deep.equal({
      bytes: 50_000_000_000,
      direction: "both",
      resetDay: 1,
      timeZone: "UTC",
      warnAt: [0.8, 0.95],
      whenUsed: "backup",
    });
  });

  it("may be left out", () => {
    const config = loadHcpeConfigWithout();
    expect(config.uplinks[0]?.quota).to.equal(undefined);
  });

  it("has every error reported with its place", () => {
    expect(load("{ bytes: 50, resetDay: 32, timeZone: Mars/Base, warnAt: [1.5], whenUsed: never }")).to.equal(
      [
        "hcpe.yaml:3:52: uplinks[0].quota.bytes: expected a size such as 500MB, 50GB or 1TB, found 50",
        "hcpe.yaml:3:66: uplinks[0].quota.resetDay: expected a whole number from 1 to 31, found 32",
        'hcpe.yaml:3:80: uplinks[0].quota.timeZone: expected a time zone such as Europe/Berlin, found "Mars/Base"',
        "hcpe.yaml:3:100: uplinks[0].quota.warnAt[0]: expected a share between 0 and 1, found 1.5",
        'hcpe.yaml:3:116: uplinks[0].quota.whenUsed: expected one of backup, off, found "never"',
      ].join("\n"),
    );
    expect(load("{ resetDay: 1 }")).to.equal(
      "hcpe.yaml:3:43: uplinks[0].quota.bytes: missing, expected a size such as 500MB, 50GB or 1TB",
    );
  });
});

function loadHcpeConfigWithout() {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-config-"));
  const config = join(directory, "hcpe.yaml");
  writeFileSync(
    config,
    "lan: { interfaces: [lan] }\nuplinks: [{ name: lte, interface: wwan0 }]\ngateways: [{ address: 198.51.100.9 }]\n",
  );
  try {
    return loadHcpeConfig({ config, set: [] });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What is said of these lines, which follow a configuration of three. */
function complaints(lines: string, set: string[] = []): string[] {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-config-"));
  const config = join(directory, "hcpe.yaml");
  const start =
    "lan: { interfaces: [lan] }\nuplinks: [{ name: lte, interface: wwan0 }]\ngateways: [{ address: 198.51.100.9 }]\n";
  writeFileSync(config, `${start}${lines}`);
  try {
    loadHcpeConfig({ config, set });
    return [];
  } catch (error) {
    return (error as Error).message.replaceAll(`${directory}/`, "").split("\n");
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("the configuration of policies", () => {
  it("has every error of a rule reported with its place, and what was meant", () => {
    const policies = "aggregate, backup, single-path, overflow, fullmesh, ndiffports, pairs, module";
    expect(complaints("rules:\n  - { prots: 80, policy: agregate }\n")).to.deep.equal([
      "hcpe.yaml:5:7: rules[0].prots: unknown key prots; did you mean ports?",
      `hcpe.yaml:5:26: rules[0].policy: expected one of ${policies}, found "agregate"; did you mean aggregate?`,
    ]);
  });

  it("must have what a policy needs, wherever it is named", () => {
    expect(complaints("policy: module\nrules:\n  - { ports: 80, policy: pairs }\n")).to.deep.equal([
      "hcpe.yaml:4:9: policy: the policy module needs policyModule, its file",
      "hcpe.yaml:6:26: rules[0].policy: the policy pairs needs pairs, at least one",
    ]);
    expect(complaints("", ["policy=pairs"])).to.deep.equal([
      "flag --set policy: policy: the policy pairs needs pairs, at least one",
    ]);
    expect(complaints("policy: module\npolicyModule: /etc/hcpe/policy.mjs\n")).to.deep.equal([]);
  });
});
