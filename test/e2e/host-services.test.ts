import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AccessError } from "@hybrid-access/core/base/error";
import { RouteClient } from "@hybrid-access/core/platform/netlink/route";
import { readSysctl } from "@hybrid-access/core/platform/sysctl";
import { checkRules, removeTable, replaceTable } from "@hybrid-access/core/services/host/nftables";
import { OwnedSysctls } from "@hybrid-access/core/services/host/owned-sysctls";
import { addTransparentRouting } from "@hybrid-access/core/services/host/transparent-routing";
import { expect } from "chai";
import { Lab } from "../lab/lab.ts";

const SETTING = "net.ipv4.tcp_fastopen";
/** Nobody may write it. */
const FIXED = "net.ipv4.tcp_available_congestion_control";
const TABLE = "hybrid_access_test";

describe("what a daemon adds to its host", function () {
  this.timeout(20_000);
  let lab: Lab;
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-host-"));
  const file = join(directory, "state", "host.json");

  before(async () => {
    lab = await Lab.up({ nodes: { host: {} }, links: [], routes: [] });
  });
  after(async () => {
    await lab?.down();
    rmSync(directory, { recursive: true });
  });

  function inside<Result>(action: () => Result): Result {
    return lab.inside("host", action);
  }

  describe("sysctls", () => {
    it("are set, and put back at the end", () => {
      inside(() => {
        const before = readSysctl(SETTING) ?? "";
        const owned = new OwnedSysctls(file);
        expect(owned.set(SETTING, (current) => String(Number(current) | 6))).to.equal(true);
        expect(Number(readSysctl(SETTING)) & 6).to.equal(6);
        expect(owned.originals).to.deep.equal({ [SETTING]: before });
        owned.restore();
        expect(readSysctl(SETTING)).to.equal(before);
        expect(owned.originals).to.deep.equal({});
        expect(existsSync(file)).to.equal(false);
      });
    });

    it("are put back by the next start's end, when a daemon was killed", () => {
      inside(() => {
        const before = readSysctl(SETTING) ?? "";
        new OwnedSysctls(file).set(SETTING, () => "519");
        expect(JSON.parse(readFileSync(file, "utf8"))).to.deep.equal({ [SETTING]: before });
        const next = new OwnedSysctls(file);
        next.set(SETTING, () => "515");
        expect(next.originals, "the value before both").to.deep.equal({ [SETTING]: before });
        next.restore();
        expect(readSysctl(SETTING)).to.equal(before);
      });
    });

    it("that are right already are not owned, and those that are not there are told", () => {
      inside(() => {
        const owned = new OwnedSysctls(file);
        expect(owned.set(SETTING, (current) => current)).to.equal(true);
        expect(owned.set("net.no_such.setting", () => "1")).to.equal(false);
        expect(owned.originals).to.deep.equal({});
        expect(existsSync(file)).to.equal(false);
      });
    });

    it("that may not be written are named, and are nothing to put back", () => {
      inside(() => {
        const owned = new OwnedSysctls(file);
        expect(() => owned.set(FIXED, () => "none")).to.throw(AccessError, `sysctl ${FIXED}=none`);
        expect(owned.originals).to.deep.equal({});
        owned.restore();
        expect(existsSync(file)).to.equal(false);
      });
    });

    it("are put back though one of them cannot be, which stays known", () => {
      inside(() => {
        const before = readSysctl(SETTING) ?? "";
        new OwnedSysctls(file).set(SETTING, () => "519");
        writeFileSync(file, JSON.stringify({ [FIXED]: "none", [SETTING]: before }));
        const owned = new OwnedSysctls(file);
        expect(() => owned.restore()).to.throw(AccessError, `sysctl ${FIXED}=none`);
        expect(readSysctl(SETTING)).to.equal(before);
        expect(JSON.parse(readFileSync(file, "utf8"))).to.deep.equal({ [FIXED]: "none" });
        rmSync(file);
      });
    });

    it("that the kernel refuses are named, and stay as they were", () => {
      inside(() => {
        const before = readSysctl(SETTING) ?? "";
        const owned = new OwnedSysctls(file);
        expect(() => owned.set(SETTING, () => "nonsense")).to.throw(AccessError, `sysctl ${SETTING}=nonsense`);
        owned.restore();
        expect(readSysctl(SETTING)).to.equal(before);
      });
    });
  });

  describe("an nftables table", () => {
    const listed = () => lab.run("host", ["nft", "list", "ruleset"]);

    it("replaces its predecessor as a whole, and goes when it is removed", async () => {
      inside(() => replaceTable(TABLE, "chain one { }"));
      inside(() => replaceTable(TABLE, "chain two { }"));
      expect(await listed())
        .to.include(`table inet ${TABLE}`)
        .and.include("chain two")
        .and.not.include("chain one");
      inside(() => removeTable(TABLE));
      inside(() => removeTable(TABLE));
      expect(await listed()).to.equal("");
    });

    it("stays as it is when the new one is refused, and the reason is told", async () => {
      inside(() => replaceTable(TABLE, "chain one { }"));
      expect(() => inside(() => replaceTable(TABLE, "chain two { jump nowhere; }")))
        .to.throw(AccessError, /^nftables: .*nowhere|No such file/)
        .with.property("code", "NFT_REFUSED");
      expect(await listed()).to.include("chain one");
      inside(() => removeTable(TABLE));
    });

    it("is judged by the kernel without being applied", async () => {
      const rules = (body: string) => `table inet ${TABLE} {\n  chain one { ${body} }\n}\n`;
      inside(() => checkRules(rules("tcp dport 80 accept;")));
      expect(() => inside(() => checkRules(rules("jump nowhere;")))).to.throw(AccessError);
      expect(() => inside(() => checkRules(rules("no such words;")))).to.throw(AccessError, /syntax error/);
      expect(await listed()).to.equal("");
    });
  });

  it("rules and routes for transparent sockets are added once, found by their protocol, and removed", async () => {
    const client = inside(() => new RouteClient());
    try {
      addTransparentRouting(client);
      addTransparentRouting(client);
      for (const family of ["-4", "-6"]) {
        const rules = await lab.run("host", ["ip", family, "rule", "list"]);
        expect(rules.match(/fwmark 0x5124 lookup 5124/g), family).to.have.length(1);
        expect(await lab.run("host", ["ip", family, "route", "list", "table", "5124"])).to.match(
          /^local default dev lo/,
        );
      }
      expect(client.removeOwn()).to.equal(4);
      expect(await lab.run("host", ["ip", "rule", "list"])).to.not.include("5124");
      expect(client.removeOwn()).to.equal(0);
    } finally {
      client.close();
    }
  });
});
