/** A daemon of the product as a real process in a node of the lab. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Lab } from "./lab.ts";

const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));
const READY_TIMEOUT_MS = 15_000;

export interface LabDaemon {
  readonly process: ChildProcess;
  /** Its log so far. */
  log(): string;
  /** Ends it with a signal and gives its exit code, or null when the signal killed it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** The command line of `hcpe` or `hag`. */
export function commandOf(program: "hcpe" | "hag", ...args: string[]): string[] {
  return [process.execPath, join(REPOSITORY, "packages", program, "bin", `${program}.js`), ...args];
}

/** Starts a daemon with a configuration file and waits until it says that it is ready. */
export async function startDaemon(
  lab: Lab,
  node: string,
  program: "hcpe" | "hag",
  config: string,
  ...flags: string[]
): Promise<LabDaemon> {
  const command = commandOf(program, "run", "--config", config, ...flags);
  const child = lab.spawn(node, command, { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${program} on ${node} ${why}:\n${log}`));
    const timer = setTimeout(() => fail("was not ready in time"), READY_TIMEOUT_MS);
    const onOutput = (chunk: Buffer) => {
      log += chunk.toString();
      if (/"msg":"ready"/.test(log)) {
        clearTimeout(timer);
        resolve();
      }
    };
    child.stdout?.on("data", onOutput);
    child.stderr?.on("data", onOutput);
    child.once("exit", (code) => {
      clearTimeout(timer);
      fail(`ended with ${code}`);
    });
  });
  return {
    process: child,
    log: () => log,
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const exited = once(child, "exit");
      child.kill(signal);
      await exited;
      return child.exitCode;
    },
  };
}
