import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Quota } from "@hybrid-access/core/policy/quota";
import { createLogger } from "@hybrid-access/core/services/log";
import { QuotaKeeper } from "@hybrid-access/hcpe/quota-keeper";
import { expect } from "chai";

const START_MS = Date.parse("2026-05-10T12:00:00Z");
const QUOTA: Quota = {
  bytes: 1000,
  direction: "both",
  resetDay: 1,
  timeZone: "UTC",
  warnAt: [0.8, 0.95],
  whenUsed: "backup",
};

describe("the quota keeper", () => {
  let directory: string;
  let file: string;
  let changes: string[];
  let logged: string[];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "hybrid-access-quota-"));
    file = join(directory, "state", "quotas.json");
    changes = [];
    logged = [];
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function keeper(nowMs = START_MS, quota = QUOTA): QuotaKeeper {
    const log = createLogger("test", "silent");
    const note = (detail: object, message: string) => {
      const { percent } = detail as { percent?: number };
      logged.push(percent === undefined ? message : `${message}: ${percent} %`);
    };
    Object.assign(log, { info: note, warn: note, error: note });
    const onChange = (uplink: string, used: boolean) => changes.push(`${uplink} ${used ? "used" : "fresh"}`);
    return new QuotaKeeper({ file, uplinks: [{ name: "lte", interface: "wwan0", quota }], log, onChange }, nowMs);
  }

  function counters(receivedBytes: number, sentBytes = 0, index = 7) {
    return [{ name: "wwan0", index, receivedBytes, sentBytes }];
  }

  it("counts what the interface carries from the first look on, in both directions", () => {
    const quotas = keeper();
    quotas.count(counters(5000, 300), START_MS);
    quotas.count(counters(5100, 310), START_MS);
    expect(quotas.status("lte")).to.deep.equal({
      bytes: 1000,
      usedBytes: 110,
      used: false,
      whenUsed: "backup",
      since: "2026-05-01T00:00:00.000Z",
    });
    expect(quotas.status("dsl")).to.equal(undefined);
  });

  it("warns once at each share, says when all is used, and goes on counting", () => {
    const quotas = keeper();
    for (const received of [0, 799, 800, 949, 950, 999, 1000, 1500]) quotas.count(counters(received), START_MS);
    const nearly = "quota nearly used up";
    expect(logged).to.deep.equal([`${nearly}: 80 %`, `${nearly}: 95 %`, "quota used up"]);
    expect(changes).to.deep.equal(["lte used"]);
    expect(quotas.status("lte")).to.include({ usedBytes: 1500, used: true });
  });

  it("counts on when the interface was made anew", () => {
    const quotas = keeper();
    quotas.count(counters(5000), START_MS);
    quotas.count(counters(40, 2, 8), START_MS);
    quotas.count(counters(10, 3, 8), START_MS);
    expect(quotas.status("lte")?.usedBytes).to.equal(42 + 13);
  });

  it("keeps its count over a restart, and loses no more than 10 s in a crash", () => {
    const first = keeper();
    first.count(counters(0), START_MS);
    first.count(counters(100), START_MS + 9999);
    expect(existsSync(file)).to.equal(false);
    first.count(counters(200), START_MS + 10_000);
    first.count(counters(300), START_MS + 12_000);
    expect(keeper().status("lte")?.usedBytes).to.equal(200);
    first.save(START_MS + 12_000);
    expect(keeper().status("lte")?.usedBytes).to.equal(300);
    expect(existsSync(`${file}.new`)).to.equal(false);
  });

  it("begins anew with the period, while it runs and after it did not", () => {
    const quotas = keeper();
    quotas.count(counters(0), START_MS);
    quotas.count(counters(1000), START_MS);
    quotas.rollOver(Date.parse("2026-05-31T23:59:59Z"));
    expect(changes).to.deep.equal(["lte used"]);
    quotas.save(START_MS);
    quotas.rollOver(Date.parse("2026-06-01T00:00:00Z"));
    expect(changes).to.deep.equal(["lte used", "lte fresh"]);
    expect(quotas.status("lte")).to.include({ usedBytes: 0, used: false, since: "2026-06-01T00:00:00.000Z" });
    writeFileSync(file, readFileSync(file, "utf8").replace(/"usedBytes":0/, '"usedBytes":77'));
    expect(keeper(Date.parse("2026-06-15T00:00:00Z")).status("lte")?.usedBytes).to.equal(77);
    expect(keeper(Date.parse("2026-07-01T00:00:00Z")).status("lte")?.usedBytes).to.equal(0);
  });

  for (const content of [
    "",
    "{",
    "null",
    '{"version":2,"uplinks":{}}',
    '{"version":1,"uplinks":{"lte":{"usedBytes":-1}}}',
  ]) {
    it(`puts a state file aside that reads ${JSON.stringify(content)}, says so, and counts`, () => {
      keeper().save(START_MS);
      writeFileSync(file, content);
      expect(keeper().status("lte")?.usedBytes).to.equal(0);
      expect(logged).to.deep.equal(["quota state cannot be read, counting begins at 0"]);
      expect(readFileSync(`${file}.unreadable`, "utf8")).to.equal(content);
    });
  }
});
