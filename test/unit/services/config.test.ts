import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@hybrid-access/core/services/config/config-error";
import {
  absolutePath,
  duration,
  listOf,
  oneOf,
  port,
  record,
  text,
  wholeNumber,
} from "@hybrid-access/core/services/config/formats";
import { type Config, type Draft, loadConfig, type SettingIssue } from "@hybrid-access/core/services/config/load";
import { nearest } from "@hybrid-access/core/services/config/nearest";
import { expect } from "chai";

const SCHEMA = {
  workers: { doc: "", format: wholeNumber(1, 64), default: 1 },
  socket: { doc: "", format: absolutePath, default: "/run/x.sock" },
  log: { level: { doc: "", format: oneOf("debug", "info"), default: "info" } },
  timeouts: { halfClosed: { doc: "", format: duration, default: "60m" } },
  uplinks: {
    doc: "",
    format: listOf(record({ name: { format: text }, cost: { format: wholeNumber(0, 9), default: 0 } }), 1),
  },
  gateways: { doc: "", format: listOf(record({ port: { format: port } })), default: [] },
} as const;

const VALID = "uplinks: [ { name: dsl } ]\n";

/** What may be wrong between these settings: names, costs and ports that differ from each other, more workers than uplinks. */
function check({ uplinks, workers, gateways, log }: Draft<Config<typeof SCHEMA>>): SettingIssue[] {
  const issues: SettingIssue[] = [];
  const expectDifferent = (path: (string | number)[], left: unknown, right: unknown) => {
    if (left !== undefined && left === right) issues.push({ path, message: "is there twice" });
  };
  expectDifferent(["uplinks", 1, "name"], uplinks?.[0]?.name, uplinks?.[1]?.name);
  expectDifferent(["uplinks", 1, "cost"], uplinks?.[0]?.cost, uplinks?.[1]?.cost);
  expectDifferent(["gateways", 1, "port"], gateways?.[0]?.port, gateways?.[1]?.port);
  if (workers !== undefined && uplinks !== undefined && workers < uplinks.length) {
    issues.push({ path: ["workers"], message: "fewer than uplinks" });
  }
  if (log?.level === "info" && workers === 1) issues.push({ path: ["log", "level"], message: "says nothing new" });
  return issues;
}

describe("services/config", () => {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-config-"));
  const file = join(directory, "a.yaml");
  after(() => rmSync(directory, { recursive: true }));

  function load(yaml: string, environment: Record<string, string> = {}, overrides: string[] = []) {
    writeFileSync(file, yaml);
    return loadConfig({ schema: SCHEMA, file, environmentPrefix: "TEST", environment, overrides });
  }

  /** The lines of the error, with the file's name left out. */
  function errors(yaml: string, environment: Record<string, string> = {}, overrides: string[] = []): string[] {
    return linesOf(() => load(yaml, environment, overrides));
  }

  /** As {@link errors}, with what is wrong between settings. */
  function checkedErrors(yaml: string, overrides: string[] = []): string[] {
    writeFileSync(file, yaml);
    return linesOf(() =>
      loadConfig({ schema: SCHEMA, file, environmentPrefix: "TEST", environment: {}, overrides, check }),
    );
  }

  function linesOf(attempt: () => unknown): string[] {
    try {
      attempt();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      expect(error).to.include({ code: "CONFIG_INVALID", fault: "configuration" });
      return error.message.split("\n").map((line) => line.replaceAll(`${file}:`, ""));
    }
    throw new Error("the configuration was accepted");
  }

  it("reads what is there and fills in the defaults", () => {
    expect(load(`${VALID}log: { level: debug }\n`)).to.deep.equal({
      workers: 1,
      socket: "/run/x.sock",
      log: { level: "debug" },
      timeouts: { halfClosed: 3_600_000 },
      uplinks: [{ name: "dsl", cost: 0 }],
      gateways: [],
    });
  });

  it("names an unknown key, its place, and the key that was meant", () => {
    expect(errors(`${VALID}wrokers: 2\n`)).to.deep.equal(["2:1: wrokers: unknown key wrokers; did you mean workers?"]);
    expect(errors(`${VALID}log:\n  levle: info\n`)).to.deep.equal([
      "3:3: log.levle: unknown key levle; did you mean level?",
    ]);
    expect(errors("uplinks:\n  - name: dsl\n    price: 1\n")).to.deep.equal([
      "3:5: uplinks[0].price: unknown key price; known: name, cost",
    ]);
  });

  it("says what a value of the wrong type or range should have been", () => {
    expect(errors(`${VALID}workers: many\n`)).to.deep.equal([
      '2:10: workers: expected a whole number from 1 to 64, found "many"',
    ]);
    expect(errors(`${VALID}log: loud\n`)).to.deep.equal(["2:6: log: expected a mapping of level"]);
    expect(errors(`${VALID}log: { level: infos }\n`)).to.deep.equal([
      '2:15: log.level: expected one of debug, info, found "infos"; did you mean info?',
    ]);
    expect(errors("uplinks: dsl\n")).to.deep.equal(['1:10: uplinks: expected a list, found "dsl"']);
    expect(errors(`${VALID}gateways: [ { port: 65536 } ]\n`)).to.deep.equal([
      "2:21: gateways[0].port: expected a port (1 to 65535), found 65536",
    ]);
  });

  it("says what is missing", () => {
    expect(errors("workers: 1\n")).to.deep.equal([
      "1:1: uplinks: missing, expected a list of: a mapping of name, cost",
    ]);
    expect(errors("")).to.deep.equal(["1:1: uplinks: missing, expected a list of: a mapping of name, cost"]);
    expect(errors("uplinks:\n  - cost: 1\n")).to.deep.equal(["2:5: uplinks[0].name: missing, expected text"]);
    expect(errors("uplinks: []\n")).to.deep.equal(["1:10: uplinks: expected at least 1 of: a mapping of name, cost"]);
  });

  it("finds keys that stand twice, and goes on", () => {
    expect(errors(`${VALID}workers: 1\nworkers: 99\n`)).to.deep.equal([
      "3:1: workers: stands here a second time",
      "3:10: workers: expected a whole number from 1 to 64, found 99",
    ]);
  });

  it("tells every error of syntax, and not what a file that is no YAML lacks", () => {
    expect(errors('workers: 1\n\tlog: x\nfoo: "bar\n')).to.deep.equal([
      "2:1: Tabs are not allowed as indentation",
      '4:1: Missing closing "quote',
    ]);
    expect(errors("- a\n- b\n")).to.deep.equal(["1:1: expected a mapping of settings"]);
  });

  it("tells everything that is wrong at once, from the top of the file down", () => {
    const yaml = "wrokers: 2\nuplinks:\n  - { nam: dsl, cost: 10 }\nlog: { level: 7 }\n";
    expect(
      errors(yaml, { TEST_SOCKET: "x" }, ["workers=0", "nothing=1"]).map((line) => line.split(": ")[0]),
    ).to.deep.equal([
      "1:1",
      "3:5",
      "3:7",
      "3:23",
      "4:15",
      "flag --set nothing=1",
      "flag --set workers",
      "environment TEST_SOCKET",
    ]);
  });

  it("takes the environment over the file, and a flag over both", () => {
    const environment = { TEST_WORKERS: "3", TEST_LOG_LEVEL: "debug", TEST_TIMEOUTS_HALF_CLOSED: "5s" };
    const config = load(`${VALID}workers: 2\n`, environment, ["workers=4", "uplinks=[ { name: lte, cost: 3 } ]"]);
    expect(config).to.deep.include({ workers: 4, log: { level: "debug" }, timeouts: { halfClosed: 5000 } });
    expect(config.uplinks).to.deep.equal([{ name: "lte", cost: 3 }]);
    expect(load(`${VALID}workers: 2\n`, environment).workers).to.equal(3);
  });

  it("names the variable or the flag that is wrong", () => {
    expect(errors(VALID, { TEST_WORKERS: "0" })).to.deep.equal([
      "environment TEST_WORKERS: workers: expected a whole number from 1 to 64, found 0",
    ]);
    expect(errors(VALID, {}, ["log.level=all", "workers"])).to.deep.equal([
      "flag --set workers: workers: expected KEY=VALUE",
      'flag --set log.level: log.level: expected one of debug, info, found "all"',
    ]);
  });

  it("tells what is wrong between settings together with what is wrong in them, each at its place", () => {
    expect(
      checkedErrors(`wrokers: 2
uplinks:
  - { name: dsl, cost: 10 }
  - { name: dsl, cost: 2, price: 3 }
gateways: [ { port: 7 }, { port: 7 } ]
timeouts: { halfClosed: never }
log: { level: debug }
`),
    ).to.deep.equal([
      "1:1: wrokers: unknown key wrokers; did you mean workers?",
      "3:24: uplinks[0].cost: expected a whole number from 0 to 9, found 10",
      "4:13: uplinks[1].name: is there twice",
      "4:27: uplinks[1].price: unknown key price; known: name, cost",
      "5:34: gateways[1].port: is there twice",
      '6:25: timeouts.halfClosed: expected a duration such as 900ms, 30s, 5m or 2h, found "never"',
    ]);
  });

  it("counts the items of a list whether they can be read or not", () => {
    expect(checkedErrors("workers: 1\nuplinks: [ 7, { name: dsl } ]\nlog: { level: debug }\n")).to.deep.equal([
      "1:10: workers: fewer than uplinks",
      "2:12: uplinks[0]: expected a mapping of name, cost, found 7",
    ]);
  });

  it("says nothing that only follows from another error", () => {
    const costs = "uplinks:\n  - { name: dsl, cost: 0 }\n  - { name: lte";
    const others = "workers: 2\n";
    expect(checkedErrors(`${costs} }\n${others}`), "the default").to.deep.equal([
      "3:5: uplinks[1].cost: is there twice",
    ]);
    expect(checkedErrors(`${costs}, csot: 4 }\n${others}`), "a slip").to.deep.equal([
      "3:18: uplinks[1].csot: unknown key csot; did you mean cost?",
    ]);
    expect(checkedErrors(`${VALID}`), "defaults").to.deep.equal(["1:1: log.level: says nothing new"]);
    for (const [slip, place] of [
      ["wrokers: 2", "2:1: wrokers"],
      ["workers: many", "2:10: workers"],
      ["log: debug", "2:6: log"],
      ["logs: { level: debug }", "2:1: logs"],
    ]) {
      const told = checkedErrors(`${VALID}${slip}\n`);
      expect(told.map((line) => line.split(": ").slice(0, 2).join(": "))).to.deep.equal([place]);
    }
    expect(checkedErrors(VALID, ["worker=2"])).to.have.length(1);
    expect(checkedErrors('log: "debug\n', ["workers=1"]), "no YAML").to.deep.equal(['2:1: Missing closing "quote']);
  });

  it("says that a file cannot be read", () => {
    const absent = join(directory, "absent.yaml");
    const attempt = () =>
      loadConfig({ schema: SCHEMA, file: absent, environmentPrefix: "TEST", environment: {}, overrides: [] });
    expect(attempt).to.throw(ConfigError, /absent\.yaml: cannot be read: ENOENT/);
  });
});

describe("services/config/nearest", () => {
  it("finds the word that a slip was meant to be, and guesses no further", () => {
    const words = ["workers", "uplinks", "level"];
    expect(nearest("wrokers", words)).to.equal("workers");
    expect(nearest("uplink", words)).to.equal("uplinks");
    expect(nearest("LEVLE", words)).to.equal("level");
    expect(nearest("lvl", words)).to.equal(undefined);
    expect(nearest("gateways", words)).to.equal(undefined);
  });
});
