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
import { loadConfig } from "@hybrid-access/core/services/config/load";
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
    try {
      load(yaml, environment, overrides);
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
