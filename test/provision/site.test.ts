import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadHagConfig } from "@hybrid-access/hag/config";
import { loadHcpeConfig } from "@hybrid-access/hcpe/config";
import { expect } from "chai";
import { ANSIBLE, HOSTS, LocalHosts, type Run, versionOf, whyNoAnsible } from "./local-ansible.ts";

const TIMEOUT_MS = 60_000;
/** For what is about files of configuration: the rest takes its time. */
const CONFIGURE = ["--tags", "configure"];
/** Texts that YAML 1.1 and 1.2 read differently. */
const AWKWARD = {
  cookies: { keys: ["12345678901234567890123456789e12"] },
  farm: { redis: { tls: "off", primary: "yes" } },
};

function succeeded({ status, output }: Run): void {
  expect(status, output).to.equal(0);
}

describe("ansible/", function () {
  this.timeout(TIMEOUT_MS);
  let hosts: LocalHosts;

  before(function () {
    const missing = whyNoAnsible();
    if (missing !== undefined) {
      process.stderr.write(`ansible: skipped, as there is no ansible-playbook here: ${missing}\n`);
      this.skip();
    }
    hosts = new LocalHosts();
  });

  after(() => hosts?.remove());

  it("has playbooks that Ansible reads", () => {
    const playbooks = readdirSync(join(ANSIBLE, "playbooks")).map((name) => join("playbooks", name));
    expect(playbooks).to.have.lengthOf.at.least(2);
    succeeded(hosts.run(["--syntax-check", ...playbooks]));
  });

  it("in check mode tells of changes and makes none", () => {
    const run = hosts.site("home-2", "--check");
    succeeded(run);
    expect(run.hosts.get("home-2")?.changed).to.be.above(0);
    expect(readdirSync(hosts.directory)).to.not.include("home-2");
    expect(readdirSync(join(hosts.directory, "units", "home-2"))).to.deep.equal([]);
  });

  it("renders the example inventory into configurations that the daemons load", () => {
    succeeded(hosts.site(HOSTS.join(":"), ...CONFIGURE));
    const gateways = ["hag-1", "hag-2"].map((name) =>
      loadHagConfig({ config: join(hosts.directory, name, "hag.yaml"), set: [] }),
    );
    expect(gateways.map(({ farm }) => farm.node)).to.deep.equal(["hag-1", "hag-2"]);
    expect(hosts.file("hag-1", "redis-password")).to.equal("change-me");
    const home = loadHcpeConfig({ config: join(hosts.directory, "home-2", "hcpe.yaml"), set: [] });
    expect(home.uplinks.map(({ name, quota }) => [name, quota?.bytes])).to.deep.equal([
      ["dsl", undefined],
      ["lte", 50e9],
    ]);
  });

  it("keeps configurations and passwords to the daemon's user", () => {
    for (const path of ["hag-1/hag.yaml", "hag-1/redis-password", "home-1/hcpe.yaml"]) {
      expect(statSync(join(hosts.directory, path)).mode & 0o777, path).to.equal(0o600);
    }
  });

  it("gives the unit time to drain, and runs the version that is the tree's", () => {
    succeeded(hosts.site("hag-1"));
    expect(hosts.file("units", "hag-1", "hag.service")).to.include("\nTimeoutStopSec=10m 30s\n");
    const script = "opt/hag/current/node_modules/@hybrid-access/hag/bin/hag.js";
    expect(hosts.file("units", "hag-1", "hag.service")).to.include(script);
    expect(JSON.parse(hosts.file("bin", "..", script, "..", "..", "package.json")).version).to.equal(versionOf("hag"));
  });

  it("changes nothing in a second run", () => {
    const run = hosts.site("hag-1");
    succeeded(run);
    expect(Object.fromEntries(run.hosts)).to.deep.equal({ "hag-1": { changed: 0, failed: 0 } });
  });

  it("does not put a configuration in place that the daemon refuses", () => {
    const before = hosts.file("home-1", "hcpe.yaml");
    const run = hosts.site(
      "home-1",
      ...CONFIGURE,
      "-e",
      '{"home_uplinks": [{"name": "dsl", "interface": "dsl", "cots": 1}]}',
    );
    expect(run.status, run.output).to.not.equal(0);
    expect(run.output).to.include("did you mean cost?");
    expect(hosts.file("home-1", "hcpe.yaml")).to.equal(before);
  });

  it("hands texts on as they are, and shows no secret when the daemon refuses them", () => {
    const variables = join(hosts.directory, "awkward.json");
    writeFileSync(variables, JSON.stringify({ hag_config: { clients: [], ...AWKWARD } }));
    succeeded(hosts.site("hag-1", ...CONFIGURE, "--diff", "-e", `@${variables}`));
    const { cookies, farm } = loadHagConfig({ config: join(hosts.directory, "hag-1", "hag.yaml"), set: [] });
    expect(cookies.keys.map((key) => Buffer.from(key).toString("hex"))).to.deep.equal(AWKWARD.cookies.keys);
    expect([farm.redis.tls, farm.redis.primary]).to.deep.equal(["off", "yes"]);

    const refused = { hag_config: { clients: [], cookies: { keys: ["secret-but-not-hexadecimal"] } } };
    writeFileSync(variables, JSON.stringify(refused));
    const run = hosts.site("hag-1", ...CONFIGURE, "--diff", "-e", `@${variables}`);
    expect(run.status).to.not.equal(0);
    expect(run.output).to.not.include("secret-but-not-hexadecimal");
  });
});
