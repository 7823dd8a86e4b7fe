import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatIpAddress } from "@hybrid-access/core/base/ip-address";
import { loadHagConfig } from "@hybrid-access/hag/config";
import { expect } from "chai";
import { directorBird, routerBird } from "../../lab/farm-bird.ts";

const DOCUMENT = readFileSync(fileURLToPath(new URL("../../../../docs/farm.md", import.meta.url)), "utf8");

function blocks(language: string): string[] {
  const found = DOCUMENT.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"));
  return Array.from(found, ([, block = ""]) => block);
}

/** The example's addresses, as the gateway itself reads them. */
function example() {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-docs-"));
  try {
    const config = join(directory, "hag.yaml");
    writeFileSync(config, blocks("yaml")[0] ?? "");
    const { addresses, virtualAddresses } = loadHagConfig({ config, set: [] }).farm;
    const [own, farm] = [addresses, virtualAddresses].map((both) => {
      const [ipv4 = "", ipv6 = ""] = both.map(formatIpAddress);
      return { ipv4, ipv6 };
    });
    return { own: own ?? { ipv4: "", ipv6: "" }, farm: farm ?? { ipv4: "", ipv6: "" } };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("docs/farm.md", () => {
  it("shows BIRD's configuration as the lab runs it, for its own example", () => {
    const { own, farm } = example();
    const router = { ipv4: "10.8.0.1", ipv6: "fd88::1" };
    const second = { ipv4: "10.8.0.12", ipv6: "fd88::12" };
    expect(blocks("bird")).to.deep.equal([directorBird(own, router), routerBird(router, farm, [own, second])]);
  });
});
