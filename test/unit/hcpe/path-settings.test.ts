import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadHcpeConfig } from "@hybrid-access/hcpe/config";
import { pathSettings } from "@hybrid-access/hcpe/path-settings";
import { expect } from "chai";

/** What the reconciler is told by a configuration that ends with these lines. */
function settingsOf(lines: string) {
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
    return pathSettings(loadHcpeConfig({ config, set: [] }), undefined, []);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("hcpe/path-settings", () => {
  it("let a connection wait 200 ms for what it carries where there are rules about that, and not at all where there are none", () => {
    expect(settingsOf("").descriptionMs).to.equal(0);
    expect(settingsOf("rules: [{ ports: [22], policy: single-path }]\n").descriptionMs).to.equal(200);
  });
});
