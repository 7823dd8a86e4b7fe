/** The command `hag`. */
import { readFileSync } from "node:fs";
import { formatEndpoint } from "@hybrid-access/core/base/ip-address";
import { type ConfigOptions, runProgram } from "@hybrid-access/core/cli/program";
import { ENGINES } from "@hybrid-access/core/engine/engines";
import { probeHost } from "@hybrid-access/core/services/host/probe";
import { runDaemon } from "@hybrid-access/core/services/lifecycle";
import { createLogger } from "@hybrid-access/core/services/log";
import { loadHagConfig } from "./config.ts";
import { Hag } from "./daemon.ts";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

process.exitCode = await runProgram(
  {
    name: "hag",
    description: "Hybrid Access Gateway: turns the Multipath TCP connections of HCPEs back into TCP",
    version,
    defaultConfig: "/etc/hag/hag.yaml",
    adminSocket: (options) => loadHagConfig(options).admin.socket,
    check(options) {
      const config = loadHagConfig(options);
      return {
        configuration: "valid",
        listen: config.listen.map(formatEndpoint),
        capabilities: { ...ENGINES[config.engine].probe(), ...probeHost() },
      };
    },
    async run(options: ConfigOptions) {
      const config = loadHagConfig(options);
      const log = createLogger("hag", config.log.level);
      await runDaemon(new Hag(config, () => loadHagConfig(options), log), log, config.drain);
    },
  },
  process.argv.slice(2),
);
