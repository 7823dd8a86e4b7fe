/** The command `hcpe`. */
import { readFileSync } from "node:fs";
import { type ConfigOptions, runProgram } from "@hybrid-access/core/cli/program";
import { ENGINES } from "@hybrid-access/core/engine/engines";
import { probeHost } from "@hybrid-access/core/services/host/probe";
import { runDaemon } from "@hybrid-access/core/services/lifecycle";
import { createLogger } from "@hybrid-access/core/services/log";
import { loadHcpeConfig } from "./config.ts";
import { Hcpe } from "./daemon.ts";
import { loadPolicyModule } from "./policy-module.ts";
import { QUESTIONS } from "./questions.ts";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

process.exitCode = await runProgram(
  {
    name: "hcpe",
    description: "Hybrid CPE: carries the LAN TCP connections as Multipath TCP over every uplink",
    version,
    defaultConfig: "/etc/hcpe/hcpe.yaml",
    adminSocket: (options) => loadHcpeConfig(options).admin.socket,
    async check(options) {
      const config = loadHcpeConfig(options);
      // The daemon itself goes on without a module that does not work: here is where its error is seen.
      if (config.policyModule !== null) await loadPolicyModule(config.policyModule, performance.now());
      return {
        configuration: "valid",
        uplinks: config.uplinks.map(({ name }) => name),
        capabilities: { ...ENGINES[config.engine].probe(), ...probeHost() },
      };
    },
    questions: QUESTIONS,
    async run(options: ConfigOptions) {
      const config = loadHcpeConfig(options);
      const log = createLogger("hcpe", config.log.level);
      await runDaemon(new Hcpe(config, () => loadHcpeConfig(options), log), log, config.drain);
    },
  },
  process.argv.slice(2),
);
