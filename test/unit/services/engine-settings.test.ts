/** The settings that choose an engine and its congestion control, which both daemons have. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { workerSettings } from "@hybrid-access/core/engine/userspace/userspace-worker";
import { CONGESTION_ALGORITHMS } from "@hybrid-access/core/policy/congestion/algorithms";
import { commonSettings } from "@hybrid-access/core/services/config/common";
import { loadHagConfig } from "@hybrid-access/hag/config";
import { loadHcpeConfig } from "@hybrid-access/hcpe/config";
import { expect } from "chai";

const DAEMONS = [
  {
    name: "hcpe",
    load: loadHcpeConfig,
    rest: "lan: { interfaces: [lan] }\nuplinks: [{ name: dsl, interface: ppp0 }]\ngateways: [{ address: 198.51.100.9 }]\n",
  },
  { name: "hag", load: loadHagConfig, rest: "clients: [10.0.0.0/8]\n" },
] as const;

describe("the setting congestion", () => {
  for (const { name, load, rest } of DAEMONS) {
    /** What was chosen, or what is said of it. */
    const chosen = (yaml: string): string => {
      const directory = mkdtempSync(join(tmpdir(), "hybrid-access-config-"));
      const config = join(directory, `${name}.yaml`);
      writeFileSync(config, `${yaml}${rest}`);
      try {
        return load({ config, set: [] }).congestion;
      } catch (error) {
        return (error as Error).message.replaceAll(`${directory}/`, "");
      } finally {
        rmSync(directory, { recursive: true });
      }
    };

    it(`of ${name} names any algorithm of the userspace engine`, () => {
      for (const { name: algorithm } of CONGESTION_ALGORITHMS) {
        expect(chosen(`engine: userspace\ncongestion: ${algorithm}\n`)).to.equal(algorithm);
      }
      expect(chosen("engine: userspace\n")).to.equal("auto");
    });

    it(`of ${name} is refused with the kernel engine, unless it is left out`, () => {
      expect(chosen("congestion: lia\n")).to.equal(
        `${name}.yaml:1:13: congestion: the kernel has its own (net.ipv4.tcp_congestion_control): leave it out, or take engine: userspace`,
      );
      expect(chosen("engine: kernel\n")).to.equal("auto");
    });
  }

  it("has no name that there is no algorithm for", () => {
    const names = CONGESTION_ALGORITHMS.map(({ name }) => name);
    expect(commonSettings("hag").congestion.format.expects).to.equal(`one of auto, ${names.join(", ")}`);
  });

  it("is the congestion control of the worker's connections", () => {
    for (const algorithm of CONGESTION_ALGORITHMS) {
      expect(workerSettings(algorithm.name).tcp.congestion).to.equal(algorithm);
    }
    expect(workerSettings("auto").tcp.congestion.name).to.equal("cubic");
  });
});
