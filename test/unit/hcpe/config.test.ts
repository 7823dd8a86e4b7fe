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

/** What is said of a configuration that has these lines first. */
function complaint(lines: string): string {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-config-"));
  const config = join(directory, "hcpe.yaml");
  const rest =
    "lan: { interfaces: [lan] }\nuplinks: [{ name: lte, interface: wwan0 }]\ngateways: [{ address: 198.51.100.9 }]\n";
  writeFileSync(config, lines + rest);
  try {
    loadHcpeConfig({ config, set: [] });
    return "";
  } catch (error) {
    return (error as Error).message.replaceAll(`${directory}/`, "");
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("the configuration of a scheduler", () => {
  it("is refused with one line where the kernel has its own, unless it is left to it", () => {
    expect(complaint("scheduler: random\n")).to.equal(
      "hcpe.yaml:1:12: scheduler: Linux has one scheduler: leave it out, or take engine: userspace",
    );
    expect(complaint("engine: userspace\nscheduler: random\n")).to.equal("");
    expect(complaint("scheduler: default\n")).to.equal("");
  });
});

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
  const start =
    "lan: { interfaces: [lan] }\nuplinks: [{ name: lte, interface: wwan0 }]\ngateways: [{ address: 198.51.100.9 }]\n";
  return complaintsOf(`${start}${lines}`, set);
}

/** What is said of a configuration, line by line. */
function complaintsOf(yaml: string, set: string[] = []): string[] {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-config-"));
  const config = join(directory, "hcpe.yaml");
  writeFileSync(config, yaml);
  try {
    loadHcpeConfig({ config, set });
    return [];
  } catch (error) {
    return (error as Error).message.replaceAll(`${directory}/`, "").split("\n");
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("the configuration of schedules", () => {
  /** Loads what stands on the lines from 4 on. */
  function loadWith(lines: string) {
    const directory = mkdtempSync(join(tmpdir(), "hybrid-access-config-"));
    const config = join(directory, "hcpe.yaml");
    writeFileSync(
      config,
      `lan: { interfaces: [lan] }
uplinks: [{ name: lte, interface: wwan0 }]
gateways: [{ address: 198.51.100.9 }]
${lines}`,
    );
    try {
      return loadHcpeConfig({ config, set: [] });
    } catch (error) {
      return (error as Error).message.replaceAll(`${directory}/`, "");
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  it("needs a name and two times of day", () => {
    const config = loadWith(`schedules:
  - { name: night, from: 22:00, to: 06:30 }
  - { name: match, from: "20:00", to: "24:00", days: [sat, sun], timeZone: Europe/Berlin }
rules: [{ during: night, policy: aggregate }]
`);
    if (typeof config === "string") throw new Error(config);
    const days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    expect(config.schedules).to.deep.equal([
      { name: "night", from: 1320, to: 390, days, timeZone: "UTC" },
      { name: "match", from: 1200, to: 1440, days: ["sat", "sun"], timeZone: "Europe/Berlin" },
    ]);
    expect(config.rules[0]?.during).to.equal("night");
  });

  it("has every error reported with its place, a rule's wrong name too", () => {
    expect(
      loadWith(`schedules:
  - { name: night, from: 22, to: 25:00, days: sonday }
`),
    ).to.equal(
      [
        "hcpe.yaml:5:26: schedules[0].from: expected a time of day from 00:00 to 24:00, found 22",
        'hcpe.yaml:5:34: schedules[0].to: expected a time of day from 00:00 to 24:00, found "25:00"',
        'hcpe.yaml:5:47: schedules[0].days: expected one of sun, mon, tue, wed, thu, fri, sat, found "sonday"',
      ].join("\n"),
    );
    expect(
      loadWith(`schedules:
  - { name: night, from: 22:00, to: 06:00 }
  - { name: night, from: 23:00, to: 06:00 }
rules:
  - { policy: backup, during: nigth }
`),
    ).to.equal(
      [
        "hcpe.yaml:6:13: schedules[1].name: night is there twice",
        "hcpe.yaml:8:31: rules[0].during: there is no schedule nigth; did you mean night?",
      ].join("\n"),
    );
  });
});

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

describe("the configuration of hcpe.yaml", () => {
  it("has what is wrong between settings told beside what is wrong in them", () => {
    expect(
      complaints(`wrokers: 2
policy: module
rules:
  - { ports: 70000, policy: pairs }
schedules:
  - { name: night, from: 22:00, to: 25:00 }
  - { name: night, from: 22:00, to: 06:00 }
`),
    ).to.deep.equal([
      "hcpe.yaml:4:1: wrokers: unknown key wrokers; did you mean workers?",
      "hcpe.yaml:5:9: policy: the policy module needs policyModule, its file",
      "hcpe.yaml:7:14: rules[0].ports: expected a port (1 to 65535), found 70000",
      "hcpe.yaml:7:29: rules[0].policy: the policy pairs needs pairs, at least one",
      'hcpe.yaml:9:37: schedules[0].to: expected a time of day from 00:00 to 24:00, found "25:00"',
      "hcpe.yaml:10:13: schedules[1].name: night is there twice",
    ]);
  });

  it("has nothing told that only follows from what could not be read", () => {
    expect(
      complaints(`policy: module
policyModule: policy.mjs
pairs: [ { local: 10.0.0.0/8 } ]
schedules: [ { name: 7, from: 22:00, to: 06:00 } ]
rules: [ { policy: pairs, during: night } ]
`),
    ).to.deep.equal([
      'hcpe.yaml:5:15: policyModule: expected an absolute path, found "policy.mjs"',
      "hcpe.yaml:6:10: pairs[0].remote: missing, expected an address or prefix, such as 10.0.0.0/8",
      "hcpe.yaml:7:22: schedules[0].name: expected text, found 7",
    ]);
    expect(complaints("policy: module\npolicyModul: /etc/hcpe/policy.mjs\n")).to.deep.equal([
      "hcpe.yaml:5:1: policyModul: unknown key policyModul; did you mean policyModule?",
    ]);
  });
});

describe("the configuration of uplinks and gateways", () => {
  const LAN = "lan: { interfaces: [lan, guests] }\n";
  const UPLINK = "uplinks: [ { name: dsl, interface: dsl } ]\n";
  const GATEWAY = "gateways: [ { address: 198.51.100.9 } ]\n";

  for (const [what, yaml, ...expected] of [
    [
      "two uplinks of one name",
      `${LAN}${GATEWAY}uplinks:\n  - { name: dsl, interface: a }\n  - { name: lte, interface: b }\n  - { name: dsl, interface: c }\n`,
      "6:13: uplinks[2].name: dsl is there twice",
    ],
    [
      "two uplinks with one interface",
      `${LAN}${GATEWAY}uplinks:\n  - { name: dsl, interface: eth0 }\n  - { name: lte, interface: eth0 }\n`,
      "5:29: uplinks[1].interface: eth0 is there twice",
    ],
    [
      "an uplink that is a LAN interface too",
      `${LAN}${GATEWAY}uplinks:\n  - { name: dsl, interface: dsl }\n  - { name: lte, interface: guests }\n`,
      "5:29: uplinks[1].interface: guests is a LAN interface too",
    ],
    [
      "a LAN interface that is there twice",
      `${UPLINK}${GATEWAY}lan: { interfaces: [lan, guests, lan] }\n`,
      "3:34: lan.interfaces[2]: lan is there twice",
    ],
    [
      "a gateway's address that is there twice, with the default port and with the same one",
      `${LAN}${UPLINK}gateways:\n  - { address: 198.51.100.9 }\n  - { address: 198.51.100.9, port: 5124 }\n`,
      "5:5: gateways[1]: 198.51.100.9:5124 is there twice",
    ],
    [
      "one IPv6 gateway written in two ways",
      `${LAN}${UPLINK}gateways:\n  - { address: "2001:db8::9" }\n  - { address: "2001:DB8:0::0:9" }\n`,
      "5:5: gateways[1]: [2001:db8::9]:5124 is there twice",
    ],
    [
      "a gateway's name that is there twice, in whatever letters",
      `${LAN}${UPLINK}gateways:\n  - { address: hag.example.net }\n  - { address: HAG.example.net }\n`,
      "5:5: gateways[1]: hag.example.net:5124 is there twice",
    ],
    [
      "all of it, at once, with a wrong value among it",
      `lan: { interfaces: [dsl] }\nuplinks: [ { name: a, interface: dsl, cost: -1 }, { name: a, interface: dsl } ]\ngateways: [ { address: 198.51.100.9 }, { address: 198.51.100.9 } ]\n`,
      "2:34: uplinks[0].interface: dsl is a LAN interface too",
      "2:45: uplinks[0].cost: expected a whole number from 0 to 1000000, found -1",
      "2:59: uplinks[1].name: a is there twice",
      "2:73: uplinks[1].interface: dsl is there twice",
      "2:73: uplinks[1].interface: dsl is a LAN interface too",
      "3:40: gateways[1]: 198.51.100.9:5124 is there twice",
    ],
  ] as const) {
    it(`refuses ${what}`, () => expect(complaintsOf(yaml)).to.deep.equal(expected.map((line) => `hcpe.yaml:${line}`)));
  }

  it("takes gateways of one address with different ports, and those whose address could not be read", () => {
    expect(
      complaintsOf(`${LAN}${UPLINK}gateways: [ { address: 198.51.100.9 }, { address: 198.51.100.9, port: 5125 } ]\n`),
    ).to.deep.equal([]);
    expect(complaintsOf(`${LAN}${UPLINK}gateways: [ { address: 1.2.3 }, { address: 1.2.3 } ]\n`)).to.have.length(2);
  });
});
